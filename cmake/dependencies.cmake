# Debian packages by find_package or pkg-config; MLX from the pinned wheel.
if(RAPID_MLX_MAC_CHECK)
  include(mac_dependencies)
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
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
# Debian's cmake files of libzip also want its command line tools.
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)

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
  file(GLOB mlx_cmake_dirs
    ${RAPID_MLX_DEPS}/mlx/lib/python3*/site-packages/mlx/share/cmake/MLX)
  list(GET mlx_cmake_dirs 0 MLX_DIR)
  find_package(MLX CONFIG REQUIRED)
endif()
