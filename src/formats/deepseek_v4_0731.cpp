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

// `prefix`: of all tags behind the family's mark.
SyntaxPtr prefixed_calls(const std::string& prefix) {
  const std::string open = "<｜DSML｜" + prefix;
  const std::string close = "</｜DSML｜" + prefix;
  return std::make_shared<TagSyntax>(TagShape{
      .section_opens =
          {open + "tool_calls>",
           open + "function_calls>",
           "<｜DSML｜r:tool_calls>"},
      .section_closes =
          {close + "tool_calls>",
           close + "function_calls>",
           "</｜DSML｜r:tool_calls>"},
      .opens = {open + "invoke name=\""},
      .name_ends = {"\">"},
      .closes = {close + "invoke>"},
      .params =
          {.open = open + "parameter name=\"",
           .key_end = "\"",
           .close = close + "parameter>",
           .text = ValueText::marked},
      .lead = "\n",
      .between = "\n",
      .tail = "\n",
      .params_lead = "\n",
      .params_between = "\n"});
}

SyntaxPtr dsml_calls() {
  static const auto syntax = prefixed_calls("");
  return syntax;
}

SyntaxPtr dsml_r_calls() {
  static const auto syntax = prefixed_calls("r:");
  return syntax;
}

}  // namespace

void register_format_deepseek_v4_0731(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "deepseek_v4_0731",
       .aliases = {"deepseek_v4"},
       .syntaxes = {dsml_calls(), dsml_r_calls()},
       .reasoning = "deepseek_v4",
       .signs = {"｜DSML｜"},
       .rank = 9}));
}

}  // namespace rapid
