// Kimi K2: JSON behind a name with its number.
//
//   <|tool_calls_section_begin|><|tool_call_begin|>functions.read:0
//   <|tool_call_argument_begin|>{"path": "/a"}<|tool_call_end|>
//   <|tool_calls_section_end|>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr numbered_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .section_opens =
          {"<|tool_calls_section_begin|>", "<|tool_call_section_begin|>"},
      .section_closes =
          {"<|tool_calls_section_end|>", "<|tool_call_section_end|>"},
      .opens = {"<|tool_call_begin|>"},
      .name_ends = {"<|tool_call_argument_begin|>"},
      .closes = {"<|tool_call_end|>"},
      .name_before = "functions.",
      .number_names = true});
  return syntax;
}

}  // namespace

void register_format_kimi(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "kimi",
       .aliases = {"kimi_k2", "moonshot"},
       .syntaxes = {numbered_calls()},
       .signs = {"<|tool_calls_section_begin|>"},
       .rank = 9}));
}

}  // namespace rapid
