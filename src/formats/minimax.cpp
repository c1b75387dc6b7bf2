// MiniMax M2.
//
//   <minimax:tool_call>
//   <invoke name="read">
//   <parameter name="path">/a</parameter>
//   </invoke>
//   </minimax:tool_call>
//
// Small quantisations write the end token's text, [e~[, behind the calls.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr invoke_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .section_opens = {"<minimax:tool_call>"},
      .section_closes = {"</minimax:tool_call>", "[e~[", "[e~[e~["},
      .opens = {"<invoke name=\""},
      .name_ends = {"\">"},
      .closes = {"</invoke>"},
      .params =
          {.open = "<parameter name=\"",
           .key_end = "\"",
           .close = "</parameter>"},
      .lead = "\n",
      .between = "\n",
      .tail = "\n",
      .params_lead = "\n",
      .params_between = "\n"});
  return syntax;
}

SyntaxPtr json_calls() {
  static const auto syntax =
      wrapped_json("<minimax:tool_call>", "</minimax:tool_call>");
  return syntax;
}

}  // namespace

void register_format_minimax(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "minimax",
       .aliases = {"minimax_m2"},
       .syntaxes = {invoke_calls(), json_calls()},
       .reasoning = "minimax",
       .signs = {"minimax:tool_call"},
       .rank = 9}));
}

}  // namespace rapid
