# rapid_library(<noun> [MLX] DEPS ... [MLX_DEPS ...]): the static library of
# src/<noun>. MLX_DEPS are linked only in a build with MLX and Rust.
# MLX libraries share one precompiled <mlx/mlx.h>. In any library the files
# named mlx_*.cpp need MLX and are left out of a build without it.
# RAPID_MLX_PCH: the others share one of JSON and the standard library, which
# is most of what they cost to compile without optimisation.
function(rapid_library name)
  cmake_parse_arguments(ARG "MLX" "" "DEPS;MLX_DEPS" ${ARGN})
  if(ARG_MLX AND NOT RAPID_MLX_WITH_MLX)
    return()
  endif()
  if(RAPID_MLX_WITH_MLX)
    list(APPEND ARG_DEPS ${ARG_MLX_DEPS})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT RAPID_MLX_WITH_MLX)
    list(FILTER sources EXCLUDE REGEX "/mlx_[^/]*\\.cpp$")
  endif()
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE rapid_flags ${ARG_DEPS})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC rapid_flags ${ARG_DEPS})
  if(ARG_MLX)
    target_link_libraries(${name} PUBLIC mlx)
    if(NOT TARGET rapid_mlx_pch)
      file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/mlx_pch.cpp CONTENT
        "// Holds the precompiled <mlx/mlx.h>.\n")
      add_library(rapid_mlx_pch STATIC ${CMAKE_BINARY_DIR}/mlx_pch.cpp)
      target_link_libraries(rapid_mlx_pch PUBLIC rapid_flags mlx)
      target_precompile_headers(rapid_mlx_pch PRIVATE <mlx/mlx.h>)
    endif()
    target_precompile_headers(${name} REUSE_FROM rapid_mlx_pch)
  elseif(RAPID_MLX_PCH AND NOT name MATCHES "^(base|cli)$")
    if(NOT TARGET rapid_base_pch)
      file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/base_pch.cpp CONTENT
        "// Holds what most sources include.\n")
      add_library(rapid_base_pch STATIC ${CMAKE_BINARY_DIR}/base_pch.cpp)
      target_link_libraries(rapid_base_pch PUBLIC rapid_flags base)
      target_precompile_headers(rapid_base_pch PRIVATE <nlohmann/json.hpp>
        <fmt/format.h> <algorithm> <functional> <map> <memory> <mutex>
        <optional> <string> <string_view> <thread> <variant> <vector>)
    endif()
    target_precompile_headers(${name} REUSE_FROM rapid_base_pch)
  endif()
endfunction()
