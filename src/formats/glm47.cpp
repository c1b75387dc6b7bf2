// GLM 4.5 to 5: a name, then keys and values.
//
//   <tool_call>read
//   <arg_key>path</arg_key>
//   <arg_value>/a</arg_value>
//   </tool_call>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr key_value_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"<tool_call>"},
      .name_ends = {"\n"},
      .closes = {"</tool_call>"},
      .params =
          {.open = "<arg_key>",
           .key_end = "</arg_key>",
           .value_open = "<arg_value>",
           .close = "</arg_value>"},
      .between = "\n",
      .params_between = "\n"});
  return syntax;
}

}  // namespace

void register_format_glm47(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "glm47",
       .aliases = {"glm4"},
       .syntaxes = {key_value_calls(), tagged_json()},
       .reasoning = "glm4",
       .signs = {"<arg_key>"},
       .rank = 9}));
}

}  // namespace rapid
