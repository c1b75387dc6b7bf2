// Mistral: [TOOL_CALLS]f[ARGS]{...} for each call (v11 on), before that one
// list: [TOOL_CALLS] [{"name": "f", "arguments": {...}}].
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr marked_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"[TOOL_CALLS]"},
      .name_ends = {"[ARGS]"},
      .id_open = "[CALL_ID]"});
  return syntax;
}

}  // namespace

void register_format_mistral(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "mistral",
       .syntaxes = {marked_calls(), marked_list()},
       .reasoning = "mistral",
       .signs = {"[TOOL_CALLS]"},
       .rank = 5}));
}

}  // namespace rapid
