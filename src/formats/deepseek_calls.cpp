#include "formats/deepseek_calls.h"

namespace rapid {
namespace {

TagShape deepseek_shape() {
  return {
      .section_opens =
          {"<｜tool▁calls▁begin｜>",
           "<｜tool_calls_begin｜>",
           "<|tool▁calls▁begin|>"},
      .section_closes =
          {"<｜tool▁calls▁end｜>",
           "<｜tool_calls_end｜>",
           "<|tool▁calls▁end|>"},
      .opens =
          {"<｜tool▁call▁begin｜>",
           "<｜tool_call_begin｜>",
           "<|tool▁call▁begin|>"},
      .name_prefixes =
          {"function<｜tool▁sep｜>",
           "function<｜tool_sep｜>",
           "function<|tool▁sep|>"},
      .name_ends = {"<｜tool▁sep｜>", "<｜tool_sep｜>", "<|tool▁sep|>", "\n"},
      .closes = {
          "<｜tool▁call▁end｜>", "<｜tool_call_end｜>", "<|tool▁call▁end|>"}};
}

}  // namespace

SyntaxPtr deepseek_typed_calls() {
  static const auto syntax = [] {
    TagShape shape = deepseek_shape();
    shape.name_before = "function<｜tool▁sep｜>";
    shape.render_name_end = "\n";
    shape.json_open = "```json\n";
    shape.json_close = "\n```";
    return std::make_shared<TagSyntax>(std::move(shape));
  }();
  return syntax;
}

SyntaxPtr deepseek_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(deepseek_shape());
  return syntax;
}

}  // namespace rapid
