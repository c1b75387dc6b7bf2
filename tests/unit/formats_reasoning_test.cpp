#include <gtest/gtest.h>

#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {
namespace {

struct Told {
  std::string content, reasoning, rejected;
  std::vector<std::string> calls;
  bool operator==(const Told&) const = default;
};

struct Asked {
  const char* style = "qwen3";
  Thinking thinking = Thinking::automatic;
  bool tools = true;
  FinishCause cause = FinishCause::end;
};

Told tell(const Asked& asked, const std::vector<std::string_view>& pieces) {
  const OutputFormat* format = FormatRegistry::global().find("hermes");
  FormatInput input;
  if (asked.tools) {
    input.tools.push_back({.name = "read"});
  }
  input.reasoning = find_reasoning_style(asked.style);
  input.thinking = asked.thinking;
  EXPECT_NE(input.reasoning, nullptr);
  const auto machine = start_machine(*format, input);
  std::vector<FormatEvent> events;
  for (const std::string_view piece : pieces) {
    machine->feed(piece, events);
  }
  machine->finish(asked.cause, events);
  EXPECT_EQ(machine->held(), 0u);
  Told out;
  for (const FormatEvent& event : events) {
    if (const auto* text = std::get_if<FormatText>(&event)) {
      out.content += text->text;
    } else if (const auto* thought = std::get_if<FormatReasoning>(&event)) {
      out.reasoning += thought->text;
    } else if (const auto* call = std::get_if<FormatCall>(&event)) {
      out.calls.push_back(call->name + call->arguments);
    } else if (const auto* raw = std::get_if<FormatRejected>(&event)) {
      out.rejected += raw->raw;
    }
  }
  return out;
}

// However the text is cut.
void expect(const Asked& asked, std::string_view raw, const Told& want) {
  EXPECT_EQ(tell(asked, {raw}), want) << raw;
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < raw.size(); ++i) {
    bytes.push_back(raw.substr(i, 1));
    EXPECT_EQ(tell(asked, {raw.substr(0, i), raw.substr(i)}), want)
        << raw << " cut at " << i;
  }
  EXPECT_EQ(tell(asked, bytes), want) << raw << " byte by byte";
}

TEST(Reasoning, ABlockAtTheBeginning) {
  expect({}, "<think>\nHm.\n</think>\n\nYes.", {"Yes.", "Hm."});
  expect({}, "\n<think>a</think>b", {"b", "a"});
  expect({}, "<think></think>b", {"b", ""});
  expect({}, "<think>\n\n</think>\n", {"", ""});
  expect({}, "<thinking>b", {"<thinking>b", ""});
}

TEST(Reasoning, ATagLaterOnIsText) {
  expect({}, "Use <think>x</think>.", {"Use <think>x</think>.", ""});
  expect({}, "<think>a</think>b <think>c</think>", {"b <think>c</think>", "a"});
  const Asked off{.thinking = Thinking::off};
  expect(off, "a </think> b", {"a </think> b", ""});
  const std::string far(80, 'x');
  expect({}, far + "</think>b", {far + "</think>b", ""});
}

TEST(Reasoning, AClosingTagThatNothingOpened) {
  expect({}, "Hm. So</think>\nYes.", {"Yes.", "Hm. So"});
  expect({}, "</think>Yes.", {"Yes.", ""});
  expect({.thinking = Thinking::off}, "</think>\nYes.", {"Yes.", ""});
  expect({}, "a <b> </think> c", {"a <b> </think> c", ""});
}

TEST(Reasoning, TagsThatAreNoText) {
  const Asked glm{.style = "glm4"};
  expect(glm, "<|begin_of_box|>4<|end_of_box|>.", {"4.", ""});
  expect(glm, "<think>a</think>It is <|begin_of_box|>4", {"It is 4", "a"});
}

TEST(Reasoning, WhatThePromptDid) {
  const Asked on{.thinking = Thinking::on};
  expect(on, "Hm.\n</think>\n\nYes.", {"Yes.", "Hm."});
  expect(on, "Hm", {"", "Hm"});
  const Asked off{.style = "deepseek_r1_distill", .thinking = Thinking::off};
  expect(off, "Yes.", {"Yes.", ""});
  const Asked implicit{.style = "deepseek_r1_distill"};
  expect(implicit, "Hm.</think>Yes.", {"Yes.", "Hm."});
  expect(implicit, "<think>Hm.</think>Yes.", {"Yes.", "Hm."});
}

TEST(Reasoning, CutInTheMiddle) {
  const Asked cut{.cause = FinishCause::length};
  expect(cut, "<think>Hm. </thi", {"", "Hm. </thi"});
  expect(cut, "<thi", {"<thi", ""});
}

TEST(Reasoning, CallsInsideAreCalls) {
  const std::string call =
      "<tool_call>\n{\"name\":\"read\",\"arguments\":{\"a\":1}}\n</tool_call>";
  expect(
      {},
      "<think>So " + call + "\n</think>\nDone.",
      {"Done.", "So ", "", {"read{\"a\":1}"}});
  expect({}, "<think>x</think>" + call, {"", "x", "", {"read{\"a\":1}"}});
  expect(
      {.tools = false}, "<think>So " + call + "</think>y", {"y", "So " + call});
  // What is broken in there stays reasoning.
  expect(
      {},
      "<think><tool_call>{\"name\":}</tool_call></think>y",
      {"y", "<tool_call>{\"name\":}</tool_call>"});
}

TEST(Reasoning, OtherTags) {
  expect({.style = "seed"}, "<seed:think>a</seed:think>b", {"b", "a"});
  expect({.style = "hy3"}, "<think>a</think>b", {"b", "a"});
  expect(
      {.style = "ui_tars"},
      "Reflection: a\nAction_Summary: b\nAction: c",
      {"Action: c", "a\nAction_Summary: b"});
  expect({.style = "magistral"}, "[THINK]a[/THINK]b", {"b", "a"});
  expect({.style = "north"}, "a<|END_THINKING|>b", {"b", "a"});
  EXPECT_EQ(find_reasoning_style("nobody"), nullptr);
}

TEST(Reasoning, IsSeenInTheTemplateAndThePrompt) {
  EXPECT_EQ(reasoning_of_template("{{ x }}"), nullptr);
  const ReasoningStyle* style =
      reasoning_of_template("{{ '<think>\\n\\n</think>' }}");
  ASSERT_NE(style, nullptr);
  EXPECT_EQ(style->name, "qwen3");
  EXPECT_EQ(
      thinking_of_prompt(*style, "<|im_start|>assistant\n<think>\n"),
      Thinking::on);
  EXPECT_EQ(
      thinking_of_prompt(*style, "<think>\n\n</think>\n\n"), Thinking::off);
  EXPECT_EQ(thinking_of_prompt(*style, "assistant\n"), Thinking::automatic);
}

}  // namespace
}  // namespace rapid
