// Qwen 2.5's JSON between <tool_call> tags, and the text that it falls back
// to: [Calling tool: read({"path": "/a"})].
#include "formats/bracket_syntax.h"
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {

void register_format_qwen(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "qwen",
       .aliases = {"qwen3", "qwen3_xml"},
       .syntaxes = {
           tagged_json(), bracket_syntax(), function_tags(), bare_json()}}));
}

}  // namespace rapid
