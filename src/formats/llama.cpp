// Llama 3 and 4: {"name": "f", "parameters": {...}} bare or behind
// <|python_tag|>, <function=f>{...}</function>, and Llama 4's [f(a=1)], also
// between <|python_start|> and <|python_end|>.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/python_syntax.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr bare_parameters() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .own = Place::word,
      .needs_proof = true,
      .usual = true,
      .between = "\n",
      .arguments_key = "parameters"});
  return syntax;
}

SyntaxPtr python_tag() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .opens = {"<|python_tag|>"},
      .foreign = Place::anywhere,
      .mute = true,
      .arguments_key = "parameters"});
  return syntax;
}

SyntaxPtr tagged_python() {
  static const auto syntax = std::make_shared<PythonSyntax>(PythonShape{
      .opens = {"<|python_start|>"},
      .closes = {"<|python_end|>"},
      .foreign = Place::anywhere});
  return syntax;
}

}  // namespace

void register_format_llama(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "llama",
       .aliases = {"llama3", "llama4"},
       .syntaxes =
           {bare_parameters(),
            python_tag(),
            function_tags(),
            function_json(),
            tagged_python(),
            wrapped_json("<|python_start|>", "<|python_end|>")},
       .signs = {"<|python_tag|>", "<|eom_id|>"},
       .rank = 5}));
}

}  // namespace rapid
