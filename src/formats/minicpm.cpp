// MiniCPM5: XML with names as attributes; text may stand in CDATA.
//
//   <function name="read"><param name="path">/a</param></function>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr xml_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"<function name=\""},
      .name_ends = {"\">"},
      .closes = {"</function>"},
      .params =
          {.open = "<param name=\"",
           .key_end = "\"",
           .close = "</param>",
           .text = ValueText::cdata},
      .between = "\n"});
  return syntax;
}

}  // namespace

void register_format_minicpm(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "minicpm",
       .syntaxes = {xml_calls()},
       .signs = {"<param name="},
       .rank = 6}));
}

}  // namespace rapid
