# The browser UI of web/, built by Node.js and compiled into a target as
# web_assets() (src/api/web_asset.h). Without Node.js, or before tools/setup has
# installed what web/package-lock.json names, the list is empty and / says how
# to get the page.
function(rapid_web target)
  set(web ${CMAKE_SOURCE_DIR}/web)
  set(out ${CMAKE_BINARY_DIR}/generated/web_assets.cpp)
  find_program(NODE_PROGRAM node)
  if(NODE_PROGRAM AND EXISTS ${web}/node_modules/esbuild)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${web}/src/*)
    add_custom_command(
      OUTPUT ${out}
      COMMAND ${NODE_PROGRAM} build.mjs --cpp ${out}
      DEPENDS ${sources} ${web}/build.mjs ${web}/package-lock.json
      WORKING_DIRECTORY ${web}
      COMMENT "Building the browser UI"
      VERBATIM)
  else()
    message(STATUS "no Node.js or no web/node_modules: built without its page")
    file(CONFIGURE OUTPUT ${out} CONTENT
"// Generated: a build without the browser UI. Do not edit.
#include \"api/web_asset.h\"
namespace rapid {
std::span<const WebAsset> web_assets() {
  return {};
}
}  // namespace rapid
")
  endif()
  target_sources(${target} PRIVATE ${out})
endfunction()
