# What src/text needs beyond its sources: the fallback chat templates of
# data/templates compiled in, each named after its architecture.
include(embed)
file(GLOB templates CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/data/templates/*.jinja)
set(declarations "")
set(entries "")
foreach(template ${templates})
  get_filename_component(architecture ${template} NAME_WE)
  string(MAKE_C_IDENTIFIER ${architecture} identifier)
  rapid_embed(text fallback_template_${identifier} ${template})
  string(APPEND declarations
    "std::string_view fallback_template_${identifier}();\n")
  string(APPEND entries "  if (architecture == \"${architecture}\") {
    return fallback_template_${identifier}();
  }
")
endforeach()
set(out ${CMAKE_BINARY_DIR}/generated/fallback_templates.cpp)
file(CONFIGURE OUTPUT ${out} CONTENT
"// Generated from data/templates. Do not edit.
#include \"text/fallback_templates.h\"
namespace rapid {
${declarations}
std::optional<std::string_view> fallback_template(
    [[maybe_unused]] std::string_view architecture) {
${entries}  return std::nullopt;
}
}  // namespace rapid
")
target_sources(text PRIVATE ${out})
