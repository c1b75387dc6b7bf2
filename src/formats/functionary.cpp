// Functionary: a call is a message to a tool.
//
//   <|from|>assistant
//   <|recipient|>read
//   <|content|>{"path": "/a"}
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr messages() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens =
          {"<|from|>assistant\n<|recipient|>",
           "<|from|>assistant<|recipient|>",
           "<|recipient|>"},
      .name_ends = {"\n<|content|>", "<|content|>"},
      .closes = {"<|stop|>"},
      .between = "\n"});
  return syntax;
}

}  // namespace

void register_format_functionary(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "functionary",
       .aliases = {"meetkai"},
       .syntaxes = {messages(), function_json(), bare_list()},
       .reasoning = "functionary",
       .signs = {"<|recipient|>"},
       .rank = 6}));
}

}  // namespace rapid
