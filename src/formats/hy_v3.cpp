// Hunyuan 3: a name, then JSON, or keys and values. The label of the tags
// may be missing.
//
//   <tool_call:opensource>read<tool_sep:opensource>{"path": "/a"}
//   <end_of_tool_call:opensource>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr labelled_calls(const std::string& label) {
  return std::make_shared<TagSyntax>(TagShape{
      .section_opens = {"<tool_calls" + label + ">"},
      .section_closes = {"</tool_calls" + label + ">"},
      .opens = {"<tool_call" + label + ">"},
      .name_ends = {"<tool_sep" + label + ">"},
      .closes =
          {"<end_of_tool_call" + label + ">", "</tool_call" + label + ">"},
      .params = {
          .open = "<arg_key" + label + ">",
          .key_end = "</arg_key" + label + ">",
          .value_open = "<arg_value" + label + ">",
          .close = "</arg_value" + label + ">"}});
}

SyntaxPtr open_source_calls() {
  static const SyntaxPtr syntax = labelled_calls(":opensource");
  return syntax;
}

SyntaxPtr plain_calls() {
  static const SyntaxPtr syntax = labelled_calls("");
  return syntax;
}

// A worn model closes the call behind its name with the wrong tag.
SyntaxPtr names_alone(const std::string& label) {
  return std::make_shared<TagSyntax>(TagShape{
      .opens = {"<tool_call" + label + ">"},
      .closes = {"</arg_value" + label + ">"}});
}

SyntaxPtr open_source_names() {
  static const SyntaxPtr syntax = names_alone(":opensource");
  return syntax;
}

SyntaxPtr plain_names() {
  static const SyntaxPtr syntax = names_alone("");
  return syntax;
}

}  // namespace

void register_format_hy_v3(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "hy_v3",
       .aliases = {"hy3"},
       .syntaxes =
           {open_source_calls(),
            plain_calls(),
            open_source_names(),
            plain_names()},
       .reasoning = "hy_v3",
       .signs = {"<tool_sep"},
       .rank = 9}));
}

}  // namespace rapid
