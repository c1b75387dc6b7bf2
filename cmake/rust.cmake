# The Rust library of src/text/rust: tokenizers and chat templates behind a
# C ABI (src/text/rust/rapid_text.h). Built by cargo, locked. Several build
# trees share one cargo folder through RAPID_MLX_CARGO_TARGET.
find_program(CARGO_PROGRAM cargo HINTS $ENV{HOME}/.cargo/bin REQUIRED)
set(rust_default ${CMAKE_BINARY_DIR}/cargo)
if(DEFINED ENV{RAPID_MLX_CARGO_TARGET} AND NOT RAPID_MLX_CROSS)
  set(rust_default $ENV{RAPID_MLX_CARGO_TARGET})
endif()
set(RAPID_MLX_CARGO_TARGET ${rust_default} CACHE PATH
  "Where cargo builds; may be shared by build trees")

set(rust_source ${CMAKE_SOURCE_DIR}/src/text/rust)
set(rust_out ${RAPID_MLX_CARGO_TARGET}/release)
set(rust_for "")
set(rust_environment CARGO_TARGET_DIR=${RAPID_MLX_CARGO_TARGET})
if(RAPID_MLX_RUST_TARGET)
  set(rust_out ${RAPID_MLX_CARGO_TARGET}/${RAPID_MLX_RUST_TARGET}/release)
  set(rust_for --target ${RAPID_MLX_RUST_TARGET})
  string(TOUPPER ${RAPID_MLX_RUST_TARGET} name)
  string(REPLACE - _ name ${name})
  list(APPEND rust_environment
    CARGO_TARGET_${name}_LINKER=${RAPID_MLX_RUST_LINKER})
endif()
set(rust_library ${rust_out}/librapid_text.a)
set(rust_stamp ${CMAKE_BINARY_DIR}/rapid_text_rust.stamp)
# The stamp, not the library, is the output: cargo leaves the library's time
# alone when nothing changed, and another tree may have built it already.
add_custom_command(
  OUTPUT ${rust_stamp}
  BYPRODUCTS ${rust_library}
  COMMAND ${CMAKE_COMMAND} -E env ${rust_environment}
    ${CARGO_PROGRAM} build --release --locked --quiet ${rust_for}
    --manifest-path ${rust_source}/Cargo.toml
  COMMAND ${CMAKE_COMMAND} -DFROM=${rust_out}/librapid_text.d
    -DTO=${rust_stamp}.d -DNAME=${rust_stamp}
    -P ${CMAKE_CURRENT_LIST_DIR}/rust_depfile.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${rust_stamp}
  DEPENDS ${rust_source}/Cargo.toml ${rust_source}/Cargo.lock
  DEPFILE ${rust_stamp}.d
  COMMENT "Building the Rust text library"
  VERBATIM)
add_custom_target(rapid_text_cargo DEPENDS ${rust_stamp})

add_library(rapid_text_rust STATIC IMPORTED GLOBAL)
set_target_properties(rapid_text_rust PROPERTIES
  IMPORTED_LOCATION ${rust_library}
  INTERFACE_INCLUDE_DIRECTORIES ${rust_source}
  INTERFACE_LINK_LIBRARIES "${CMAKE_DL_LIBS};Threads::Threads;m")
add_dependencies(rapid_text_rust rapid_text_cargo)
