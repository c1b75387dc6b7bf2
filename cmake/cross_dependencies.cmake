# The libraries of a program for another platform: the headers of
# RAPID_MLX_CROSS/include, the archives of its lib/ (cmake/portable.cmake) and
# the libmlx of its wheel/. A link check for macOS has headers only: what a Mac
# or the Rust library would bring stays undefined, to be looked up when the
# program starts.
include_directories(SYSTEM ${RAPID_MLX_CROSS}/include)
foreach(name Threads::Threads nlohmann_json::nlohmann_json CLI11::CLI11
    Boost::headers tomlplusplus)
  add_library(${name} INTERFACE IMPORTED GLOBAL)
endforeach()
foreach(name fmt spdlog crypto ssl edit minizip yaml sqlite)
  add_library(external_${name} INTERFACE)
  if(NOT RAPID_MLX_MAC_CHECK)
    target_link_libraries(external_${name} INTERFACE archive_${name})
  endif()
endforeach()
target_compile_definitions(external_spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
set(CURL_INCLUDE_DIRS ${RAPID_MLX_CROSS}/include)
if(RAPID_MLX_MAC_CHECK)
  target_compile_definitions(external_fmt INTERFACE FMT_HEADER_ONLY)
  add_link_options(-Wl,-undefined,dynamic_lookup)
  add_library(rapid_text_rust INTERFACE IMPORTED GLOBAL)
  target_include_directories(rapid_text_rust INTERFACE
    ${CMAKE_SOURCE_DIR}/src/text/rust)
else()
  target_compile_definitions(external_spdlog INTERFACE SPDLOG_COMPILED_LIB)
endif()

set(wheel ${RAPID_MLX_CROSS}/wheel/mlx)
add_library(mlx SHARED IMPORTED GLOBAL)
set_target_properties(mlx PROPERTIES
  IMPORTED_LOCATION ${wheel}/lib/libmlx${CMAKE_SHARED_LIBRARY_SUFFIX}
  INTERFACE_INCLUDE_DIRECTORIES ${wheel}/include)
