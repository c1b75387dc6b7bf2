// Gemma 4: <|tool_call>call:read{path:<|"|>/a<|"|>,n:3}<tool_call|>. The
// tags are special tokens that detokenisers like to drop.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr literal_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"<|tool_call>call:", "<|tool_call>"},
      .closes = {"<tool_call|>"},
      .quote = "<|\"|>"});
  return syntax;
}

SyntaxPtr bare_literals() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .opens = {"call:"},
      .quote = "<|\"|>",
      .own = Place::word,
      .foreign = Place::line});
  return syntax;
}

}  // namespace

void register_format_gemma4(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "gemma4",
       .aliases = {"gemma_4"},
       .syntaxes = {literal_calls(), bare_literals()},
       .reasoning = "gemma4",
       .signs = {"<|tool_call>call:", "<tool_call|>"},
       .rank = 9}));
}

}  // namespace rapid
