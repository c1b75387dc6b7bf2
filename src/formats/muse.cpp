// Muse (ATEM): XML in a message to the tool.
//
//   <|start|>assistant to=read<|message|><atem:function_calls>
//   <atem:invoke name="read">
//   <atem:parameter name="path">/a</atem:parameter>
//   </atem:invoke>
//   </atem:function_calls><|eot|>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr atem_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .section_opens = {"<atem:function_calls>"},
      .section_closes = {"</atem:function_calls>"},
      .opens = {"<atem:invoke name=\""},
      .name_ends = {"\">"},
      .closes = {"</atem:invoke>"},
      .params =
          {.open = "<atem:parameter name=\"",
           .key_end = "\"",
           .close = "</atem:parameter>",
           .text = ValueText::verbatim},
      .lead = "\n",
      .between = "\n",
      .tail = "\n",
      .params_lead = "\n",
      .params_between = "\n"});
  return syntax;
}

}  // namespace

void register_format_muse(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "muse",
       .syntaxes = {atem_calls()},
       .reasoning = "muse",
       .signs = {"atem:function_calls"},
       .rank = 9}));
}

}  // namespace rapid
