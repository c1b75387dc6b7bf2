# ccache, a fast linker, warnings and sanitizers for every target of ours.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM AND NOT APPLE AND NOT RAPID_MLX_CROSS)
  add_link_options(-fuse-ld=mold)
endif()

add_library(rapid_flags INTERFACE)
target_compile_options(rapid_flags INTERFACE
  -Wall -Wextra -Werror -Wno-missing-field-initializers
  # gcc 12 sees overlaps in std::string and overflows in fmt::join at -O3 where
  # there are none (PR 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-stringop-overflow>
  # gcc 12's own std::stable_sort calls what it marks as deprecated.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
target_include_directories(rapid_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(RAPID_MLX_SANITIZE)
  target_compile_options(rapid_flags INTERFACE
    -fsanitize=${RAPID_MLX_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(rapid_flags INTERFACE -fsanitize=${RAPID_MLX_SANITIZE})
endif()
