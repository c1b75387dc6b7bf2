# rapid_plugins(<noun> <kind> <Registry> <registry header> [FILES regex]):
# every src/<noun>/<stem>.cpp that is a plugin defines
#   void rapid::register_<kind>_<stem>(<Registry>&);
# This generates register_all_<kind>s(<Registry>&), which calls each of them.
# A file is a plugin when it defines such a hook; a hook whose name does not
# match its file is a link error, so nothing is dropped in silence.
function(rapid_plugins name kind registry header)
  if(NOT TARGET ${name})
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  set(declarations "")
  set(calls "")
  foreach(source ${sources})
    file(STRINGS ${source} hooks REGEX "^void register_${kind}_")
    if(hooks)
      get_filename_component(stem ${source} NAME_WE)
      string(APPEND declarations "void register_${kind}_${stem}(${registry}&);\n")
      string(APPEND calls "  register_${kind}_${stem}(registry);\n")
    endif()
  endforeach()
  set(out ${CMAKE_BINARY_DIR}/generated/${name}_${kind}s.cpp)
  file(CONFIGURE OUTPUT ${out} CONTENT
"// Generated from the files of src/${name}. Do not edit.
#include \"${header}\"
namespace rapid {
${declarations}
void register_all_${kind}s(${registry}& registry) {
${calls}}
}  // namespace rapid
")
  target_sources(${name} PRIVATE ${out})
endfunction()
