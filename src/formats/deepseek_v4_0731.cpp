// DeepSeek V4 Flash: DSML, where every parameter says whether it is text.
//
//   <｜DSML｜tool_calls>
//   <｜DSML｜invoke name="read">
//   <｜DSML｜parameter name="path" string="true">/a</｜DSML｜parameter>
//   </｜DSML｜invoke>
//   </｜DSML｜tool_calls>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr dsml_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .section_opens =
          {"<｜DSML｜tool_calls>",
           "<｜DSML｜function_calls>",
           "<｜DSML｜r:tool_calls>"},
      .section_closes =
          {"</｜DSML｜tool_calls>",
           "</｜DSML｜function_calls>",
           "</｜DSML｜r:tool_calls>"},
      .opens = {"<｜DSML｜invoke name=\""},
      .name_ends = {"\">"},
      .closes = {"</｜DSML｜invoke>"},
      .params =
          {.open = "<｜DSML｜parameter name=\"",
           .key_end = "\"",
           .close = "</｜DSML｜parameter>",
           .text = ValueText::marked},
      .lead = "\n",
      .between = "\n",
      .tail = "\n",
      .params_lead = "\n",
      .params_between = "\n"});
  return syntax;
}

}  // namespace

void register_format_deepseek_v4_0731(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "deepseek_v4_0731",
       .aliases = {"deepseek_v4"},
       .syntaxes = {dsml_calls()},
       .reasoning = "deepseek_v4",
       .signs = {"｜DSML｜"},
       .rank = 9}));
}

}  // namespace rapid
