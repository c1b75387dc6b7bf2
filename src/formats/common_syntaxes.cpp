#include "formats/common_syntaxes.h"

#include <utility>

#include "formats/python_syntax.h"

namespace rapid {

SyntaxPtr tagged_json() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .opens = {"<tool_call>", "<tool_call"},
      .closes = {"</tool_call>"},
      .foreign = Place::anywhere,
      .lead = "\n",
      .tail = "\n",
      .between = "\n"});
  return syntax;
}

SyntaxPtr wrapped_json(std::string open, std::string close) {
  return std::make_shared<JsonSyntax>(JsonShape{
      .opens = {std::move(open)},
      .closes = {std::move(close)},
      .foreign = Place::anywhere,
      .lead = "\n",
      .tail = "\n",
      .between = "\n"});
}

namespace {

SyntaxPtr make_function_tags(Lines lines) {
  return std::make_shared<TagSyntax>(TagShape{
      .section_opens = {"<tool_call>"},
      .section_closes = {"</tool_call>"},
      .opens = {"<function="},
      .name_ends = {">"},
      .closes = {"</function>"},
      .params =
          {.open = "<parameter=",
           .key_end = ">",
           .close = "</parameter>",
           .lines = lines},
      .shy = true,
      .lead = "\n",
      .between = "\n",
      .tail = "\n",
      .params_lead = "\n",
      .params_between = "\n",
      .section_each = true});
}

}  // namespace

SyntaxPtr function_tags() {
  static const auto syntax = make_function_tags(Lines::framed);
  return syntax;
}

SyntaxPtr function_lines() {
  static const auto syntax = make_function_tags(Lines::both);
  return syntax;
}

SyntaxPtr function_json() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"<function="},
      .name_ends = {">"},
      .closes = {"</function>"},
      .between = "\n"});
  return syntax;
}

SyntaxPtr named_tags() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"<function>"},
      .name_prefixes = {"<name>"},
      .needs_prefix = true,
      .name_ends = {"</name><arguments>", "</name>\n<arguments>", "</name>"},
      .closes =
          {"</arguments></function>",
           "</arguments>\n</function>",
           "</function>",
           "</arguments>"},
      .between = "\n",
      .name_before = "<name>"});
  return syntax;
}

SyntaxPtr fenced_json() {
  static const auto fence = std::make_shared<JsonSyntax>(JsonShape{
      .opens =
          {"```json\n",
           "```tool_call\n",
           "```tool_calls\n",
           "```tool_code\n",
           "```\n"},
      .closes = {"```"},
      .own = Place::line,
      .needs_proof = true,
      .tail = "\n",
      .between = "\n"});
  return fence;
}

SyntaxPtr italic_json() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .opens = {"\x1b[3m"},
      .closes = {"\x1b[0m", "\x1b[23m"},
      .foreign = Place::anywhere,
      .needs_proof = true});
  return syntax;
}

SyntaxPtr worn_tags() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"<toolcall>"},
      .name_ends = {"\n"},
      .closes = {"</toolcall>"},
      .params =
          {.open = "<parameter=",
           .key_end = ">",
           .close = "</parameter>",
           .lines = Lines::framed},
      .params_lead = "\n"});
  return syntax;
}

SyntaxPtr bare_json() {
  static const auto syntax = std::make_shared<JsonSyntax>(
      JsonShape{.own = Place::word, .needs_proof = true, .between = "\n"});
  return syntax;
}

SyntaxPtr bare_list() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .list = true, .own = Place::word, .needs_proof = true, .usual = true});
  return syntax;
}

SyntaxPtr marked_list() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .opens = {"[TOOL_CALLS]"},
      .list = true,
      .foreign = Place::anywhere,
      .lead = " "});
  return syntax;
}

SyntaxPtr python_list() {
  static const auto syntax = std::make_shared<PythonSyntax>(PythonShape{});
  return syntax;
}

}  // namespace rapid
