// Harmony (GPT-OSS): a call is a message to a tool.
//
//   <|channel|>commentary to=functions.read <|constrain|>json<|message|>
//   {"path": "/a"}<|call|>
//
// The header may also be <|start|>assistant to=functions.read<|channel|>
// commentary json<|message|>, as histories have it. <|call|> ends the turn, so
// it is normally not seen.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

std::vector<std::string> header_ends() {
  std::vector<std::string> out;
  for (const char* channel :
       {"", "<|channel|>commentary", "<|channel|>analysis"}) {
    for (const char* kind :
         {" <|constrain|>json",
          "<|constrain|>json",
          " json",
          " <|constrain|>code",
          " code",
          ""}) {
      out.push_back(std::string(channel) + kind + "<|message|>");
    }
  }
  return out;
}

SyntaxPtr messages_to_tools() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens =
          {"<|start|>assistant<|channel|>commentary to=",
           "<|start|>assistant<|channel|>analysis to=",
           "<|start|>assistant to=",
           "<|channel|>commentary to=",
           "<|channel|>analysis to=",
           "<|channel|>final to="},
      .name_prefixes = {"functions."},
      .name_ends = header_ends(),
      .closes = {"<|call|>", "<|end|>", "<|return|>"},
      .name_before = "functions."});
  return syntax;
}

}  // namespace

void register_format_harmony(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "harmony",
       .aliases = {"gpt-oss"},
       .syntaxes = {messages_to_tools()},
       .reasoning = "harmony",
       .signs = {"<|channel|>"},
       .rank = 9}));
}

}  // namespace rapid
