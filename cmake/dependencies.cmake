# Debian packages by find_package or pkg-config; MLX from the pinned wheel.
if(RAPID_MLX_CROSS)
  include(cross_dependencies)
  return()
endif()
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 3.35 REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)
# Headers only.
find_path(TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)
add_library(tomlplusplus INTERFACE IMPORTED GLOBAL)
target_include_directories(tomlplusplus INTERFACE ${TOMLPLUSPLUS_INCLUDE})
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
find_path(MINIZIP_INCLUDE minizip/unzip.h REQUIRED)
find_library(MINIZIP_LIBRARY minizip REQUIRED)
add_library(minizip INTERFACE IMPORTED GLOBAL)
target_include_directories(minizip INTERFACE ${MINIZIP_INCLUDE})
target_link_libraries(minizip INTERFACE ${MINIZIP_LIBRARY})

# external_<name>: the shared library; for a program that has PORTABLE set the
# archive, archive_<name> (cmake/portable.cmake).
function(rapid_external name shared)
  add_library(external_${name} INTERFACE)
  target_link_libraries(external_${name} INTERFACE
    $<IF:$<BOOL:$<TARGET_PROPERTY:PORTABLE>>,archive_${name},${shared}>)
endfunction()
rapid_external(fmt fmt::fmt)
rapid_external(spdlog spdlog::spdlog)
rapid_external(crypto OpenSSL::Crypto)
rapid_external(ssl OpenSSL::SSL)
rapid_external(sqlite SQLite::SQLite3)
rapid_external(yaml yaml-cpp)
rapid_external(edit PkgConfig::EDIT)
rapid_external(minizip minizip)

if(RAPID_MLX_WITH_MLX AND RAPID_MLX_DEVICE STREQUAL cuda)
  # The wheel's own cmake files ask for a CUDA toolkit, which only MLX's own
  # sources need.
  file(GLOB wheel ${RAPID_MLX_DEPS}/mlx-cuda/lib/python3*/site-packages/mlx)
  add_library(mlx SHARED IMPORTED GLOBAL)
  set_target_properties(mlx PROPERTIES
    IMPORTED_LOCATION ${wheel}/lib/libmlx.so
    INTERFACE_INCLUDE_DIRECTORIES ${wheel}/include)
  # It needs the driver's libcuda, which a build machine may lack.
  target_link_options(mlx INTERFACE -Wl,--allow-shlib-undefined)
elseif(RAPID_MLX_WITH_MLX)
  # The pinned wheel; else MLX_DIR, or what the system has (Homebrew's).
  file(GLOB mlx_cmake_dirs
    ${RAPID_MLX_DEPS}/mlx/lib/python3*/site-packages/mlx/share/cmake/MLX)
  if(mlx_cmake_dirs AND NOT MLX_DIR)
    list(GET mlx_cmake_dirs 0 MLX_DIR)
  endif()
  find_package(MLX CONFIG REQUIRED)
endif()
