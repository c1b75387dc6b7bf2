// LFM2: [read(path="/a"), add(a=1)], also JSON, between its tags or bare.
#include "formats/bracket_syntax.h"
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/python_syntax.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr tagged_python() {
  static const auto syntax = std::make_shared<PythonSyntax>(PythonShape{
      .opens = {"<|tool_call_start|>"},
      .closes = {"<|tool_call_end|>"},
      .foreign = Place::anywhere});
  return syntax;
}

SyntaxPtr tagged_list() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .opens = {"<|tool_call_start|>"},
      .closes = {"<|tool_call_end|>"},
      .list = true,
      .foreign = Place::anywhere});
  return syntax;
}

}  // namespace

void register_format_lfm(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "lfm",
       .aliases = {"liquid"},
       .syntaxes =
           {tagged_python(),
            tagged_list(),
            bracket_syntax(),
            python_list(),
            bare_list()},
       .signs = {"<|tool_call_start|>", "<|tool_list_start|>"},
       .rank = 6}));
}

}  // namespace rapid
