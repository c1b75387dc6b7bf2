// Answers written by hand: rendered as the format writes them, found by what
// the history holds of them, read back by the real front.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/replay_model.h"
#include "engine/script.h"
#include "temp_folder.h"
#include "unit/front_harness.h"

namespace rapid {
namespace {

using testing::HasSubstr;

constexpr const char* kScript = R"({
  "script": 1, "reasoning": "qwen3",
  "turns": [
    {"reasoning": "A file.", "content": "I write.",
     "calls": [{"name": "write", "arguments": {"path": "a", "text": "x\ny"}}]},
    {"calls": [{"name": "read", "arguments": {"path": "b"}},
               {"name": "read", "arguments": {"path": "c"}}]},
    {"content": "All done."}],
  "aside": {"content": "A title"}})";

Script script_of(const char* text) {
  auto script = Script::from(*parse_json(text));
  EXPECT_TRUE(script) << script.error().what;
  return *script;
}

std::string error_of(const char* text) {
  const auto script = Script::from(*parse_json(text));
  EXPECT_FALSE(script) << text;
  return script ? "" : script.error().what;
}

chat::Request ask(bool tools = true) {
  chat::Request out = chat_request("Today is a day. Do it.");
  if (tools) {
    out.tools = {{.name = "write"}, {.name = "read"}};
    for (chat::Tool& tool : out.tools) {
      tool.parameters = {{"type", "object"}};
    }
  }
  return out;
}

void answer(
    chat::Request& request,
    std::vector<chat::ToolCall> calls,
    std::string content = "") {
  request.messages.push_back(
      {.role = "assistant",
       .content = std::move(content),
       .tool_calls = std::move(calls)});
}

TEST(Script, TheHistorySaysWhichTurn) {
  const Script script = script_of(kScript);
  chat::Request request = ask();
  answer(request, {}, "an example that the agent put in");
  EXPECT_EQ(script.next(request), 0);
  EXPECT_EQ(script.next(request), 0) << "asked again";
  answer(request, {{"other", "write", "{}"}});
  EXPECT_EQ(script.next(request), 1);
  answer(request, {{"1", "read", "{}"}});
  EXPECT_EQ(script.next(request), 1) << "one call is not two";
  chat::Request split = request;  // one message a call, as some clients have it
  split.messages.push_back({.role = "tool", .content = "b's"});
  answer(split, {{"2", "read", "{}"}});
  EXPECT_EQ(script.next(split), 2);
  answer(request, {{"0", "write", "{}"}});
  answer(request, {{"1", "read", "{}"}, {"2", "read", "{}"}});
  EXPECT_EQ(script.next(request), 2);
  answer(request, {}, "All done.\n");
  EXPECT_EQ(script.next(request), 2) << "the last turn stays";
  EXPECT_EQ(script.next(ask(false)), 3) << "a question beside";
  EXPECT_EQ(script.next(ask()), 0) << "another conversation";
}

TEST(Script, IsOverBehindACall) {
  const Script script =
      script_of(R"({"script":1,"turns":[{"calls":[{"name":"read"}]}]})");
  chat::Request request = ask();
  answer(request, {{"1", "read", "{}"}});
  EXPECT_EQ(script.next(request), -1);
  EXPECT_EQ(script.next(ask(false)), 0) << "it has no aside";
}

// `strict`: calls are decoded under a grammar, from their first token on.
void goes_through_the_front(bool strict) {
  const auto shelf = std::make_shared<ReplayShelf>(script_of(kScript));
  Front front(replay_engine(shelf), replay_model(shelf), {.redecode = true});
  chat::Request request = ask();
  for (chat::Tool& tool : request.tools) {
    tool.declaration = {
        {"type", "function"},
        {"function", {{"name", tool.name}, {"strict", strict}}}};
    tool.parameters = {
        {"type", "object"}, {"additionalProperties", Json::object()}};
  }
  std::vector<std::string> ids;
  for (int turn = 0; turn < 3; ++turn) {
    const int number = shelf->choose(request).number;
    ASSERT_EQ(number, turn);
    chat::Request asked = request;
    ask_for(shelf->at(number), number, asked);
    Recorder seen;
    ASSERT_TRUE(front.submit(asked, seen.sink()));
    std::string text, thought;
    std::vector<chat::ToolCall> calls;
    for (const chat::Event& event : seen.wait()) {
      if (const auto* delta = std::get_if<chat::Delta>(&event)) {
        (delta->kind == chat::Delta::Kind::reasoning ? thought : text) +=
            delta->text;
      } else if (const auto* call = std::get_if<chat::ToolCallEvent>(&event)) {
        calls.push_back(call->call);
        ids.push_back(call->call.id);
      }
    }
    if (turn == 0) {
      EXPECT_EQ(thought, "A file.");
      EXPECT_THAT(text, HasSubstr("I write."));
      ASSERT_EQ(calls.size(), 1u);
      EXPECT_EQ(
          *parse_json(calls[0].arguments),
          Json({{"path", "a"}, {"text", "x\ny"}}));
    } else if (turn == 1) {
      EXPECT_EQ(calls.size(), 2u);
    } else {
      EXPECT_EQ(text, "All done.");
    }
    answer(request, calls, text);
  }
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end()) << "ids are unlike";
}

TEST(Script, GoesThroughTheFront) {
  goes_through_the_front(false);
}

TEST(Script, GoesThroughADetour) {
  goes_through_the_front(true);
}

TEST(Script, EveryFormatGivesItsCallsBack) {
  for (const auto& format : FormatRegistry::global().all()) {
    // ui_tars has a tool of its own only: the screen.
    if (format->syntaxes().empty() || format->name() == "ui_tars") {
      continue;
    }
    const Json json = {
        {"script", 1},
        {"format", std::string(format->name())},
        {"turns",
         {{{"content", "Now:"},
           {"calls",
            {{{"name", "read"}, {"arguments", {{"path", "a b"}}}}}}}}}};
    const auto script = Script::from(json);
    ASSERT_TRUE(script) << script.error().what;
    const auto shelf = std::make_shared<ReplayShelf>(*script);
    Front front(replay_engine(shelf), replay_model(shelf));
    chat::Request request = ask();
    ask_for(shelf->at(0), 0, request);
    Recorder seen;
    ASSERT_TRUE(front.submit(request, seen.sink()));
    int calls = 0;
    for (const chat::Event& event : seen.wait()) {
      if (const auto* call = std::get_if<chat::ToolCallEvent>(&event)) {
        ++calls;
        EXPECT_EQ(*parse_json(call->call.arguments), Json({{"path", "a b"}}));
      }
    }
    EXPECT_EQ(calls, 1) << format->name() << ": " << script->turns()[0].output;
  }
}

TEST(Script, WhatIsWrongIsNamed) {
  EXPECT_THAT(error_of(R"({"script":2,"turns":[{}]})"), HasSubstr("version"));
  EXPECT_THAT(error_of(R"({"script":1})"), HasSubstr("no turns"));
  EXPECT_THAT(
      error_of(R"({"script":1,"turns":[{"text":"x"}]})"),
      HasSubstr("turns[0] has no field \"text\""));
  EXPECT_THAT(
      error_of(R"({"script":1,"turns":[{}, {"calls":[{"arguments":{}}]}]})"),
      HasSubstr("turns[1].calls"));
  EXPECT_THAT(
      error_of(R"({"script":1,"turns":[{"reasoning":"x"}]})"),
      HasSubstr("no reasoning style"));
  EXPECT_THAT(
      error_of(R"({"script":1,"format":"no","turns":[{}]})"),
      HasSubstr("\"no\""));
}

}  // namespace
}  // namespace rapid
