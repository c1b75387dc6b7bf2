# rapid_embed(<target> <name> <file>): compiles a file of data into a target as
#   namespace rapid { std::string_view <name>(); }
# which the caller declares. Editing the file re-runs cmake.
function(rapid_embed target name file)
  if(NOT TARGET ${target})
    return()
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  file(SIZE ${file} size)
  set(out ${CMAKE_BINARY_DIR}/generated/embed_${name}.cpp)
  file(CONFIGURE OUTPUT ${out} @ONLY CONTENT
"// Generated from a file of data. Do not edit.
#include <string_view>
namespace rapid {
namespace {
constexpr unsigned char kBytes[] = {@bytes@0};
}  // namespace
std::string_view @name@();
std::string_view @name@() {
  return {reinterpret_cast<const char*>(kBytes), @size@};
}
}  // namespace rapid
")
  target_sources(${target} PRIVATE ${out})
endfunction()
