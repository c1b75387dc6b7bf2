// Granite 3: <|tool_call|>[{"name": "f", "arguments": {...}}, ...]
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr one_list() {
  static const auto syntax = std::make_shared<JsonSyntax>(
      JsonShape{.opens = {"<|tool_call|>"}, .list = true});
  return syntax;
}

}  // namespace

void register_format_granite(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "granite",
       .aliases = {"granite3"},
       .syntaxes = {one_list(), tagged_json(), bare_list()},
       .signs = {"<|tool_call|>"},
       .rank = 6}));
}

}  // namespace rapid
