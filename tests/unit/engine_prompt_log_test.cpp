#include <gtest/gtest.h>

#include "engine/prompt_log.h"
#include "unit/fake_engine.h"

namespace rapid {
namespace {

using Kind = chat::CacheReport::Kind;
using chat::Message;

class PromptLogTest : public ::testing::Test {
 protected:
  PromptLogTest() {
    request.messages = {
        {.role = "system", .content = "be kind"},
        {.role = "user", .content = "q1"},
        {.role = "assistant", .content = "a1"},
        {.role = "user", .content = "q2"}};
  }

  // A token is a byte of the messages.
  EnginePrompt prompt() const {
    std::string text = "tools" + std::to_string(request.tools.size());
    for (const Message& message : request.messages) {
      text += "|" + message.content;
      for (const auto& call : message.tool_calls) {
        text += call.arguments;
      }
    }
    EnginePrompt out;
    out.ids = fake_ids(text + "|");
    out.retokenised = retokenised;
    return out;
  }
  chat::CacheReport send(int cached, std::string_view answer = "a2") {
    request.id = std::to_string(++count);
    const auto entry = PromptLog::open(request, prompt());
    const auto report = log.explain(*entry, cached);
    log.close(entry, fake_ids(answer));
    return report;
  }

  chat::Request request;
  std::vector<int> retokenised;
  PromptLog log;
  int count = 0;
};

TEST_F(PromptLogTest, FirstAndNext) {
  EXPECT_EQ(send(0).kind, Kind::new_conversation);
  const int known = static_cast<int>(prompt().ids.size()) + 2;
  request.messages.push_back({.role = "assistant", .content = "a2"});
  request.messages.push_back({.role = "user", .content = "q3"});
  const auto report = send(known);
  EXPECT_EQ(report.kind, Kind::appended);
  EXPECT_EQ(report.common_tokens, known);
  EXPECT_EQ(report.cost_tokens, 0);
  EXPECT_EQ(report.earlier, "1");
  EXPECT_EQ(log.find("chatcmpl-2")->cached_tokens, known);
  EXPECT_FALSE(log.find("3"));
  // Sent again, and with less of it kept than both have in common.
  EXPECT_EQ(
      send(static_cast<int>(prompt().ids.size()) - 1).kind, Kind::appended);
  const auto lost = send(3);
  EXPECT_EQ(lost.kind, Kind::evicted);
  EXPECT_EQ(lost.cost_tokens, lost.common_tokens - 3);
}

TEST_F(PromptLogTest, WhatChanged) {
  send(0);
  const chat::Request first = request;
  const auto changed = [&](auto change) {
    request = first;
    change();
    const auto report = send(1000);  // the cache held all it could
    log.clear();
    request = first;
    send(0);
    return report;
  };
  auto report = changed([&] { request.messages[2].content = "aX"; });
  EXPECT_EQ(report.kind, Kind::history_edited);
  EXPECT_EQ(report.message, 2);
  EXPECT_EQ(report.role, "assistant");
  EXPECT_EQ(report.field, "content");
  EXPECT_EQ(report.byte, 1);
  report = changed([&] { request.messages[0].content = "be rude"; });
  EXPECT_EQ(report.kind, Kind::system_changed);
  EXPECT_EQ(report.byte, 3);
  report = changed([&] { request.tools = {{.name = "f"}}; });
  EXPECT_EQ(report.kind, Kind::tools_changed);
  EXPECT_EQ(report.field, "tools");
  report = changed([&] { request.messages[1].content = "other"; });
  EXPECT_EQ(report.kind, Kind::new_conversation);
  EXPECT_EQ(report.cost_tokens, 0);
  report = changed(
      [&] { request.messages[2].tool_calls = {{"id", "f", "{\"a\":1}"}}; });
  EXPECT_EQ(report.kind, Kind::history_edited);
  EXPECT_EQ(report.field, "tool_calls");
  report = changed([&] { request.use_cache = false; });
  EXPECT_EQ(report.kind, Kind::off);
}

// The same messages, other tokens.
TEST_F(PromptLogTest, ATurnThatTheLedgerDoesNotKnow) {
  send(0, "{\"a\": 1}");
  const auto known = static_cast<int>(prompt().ids.size()) + 8;
  request.messages.push_back({.role = "assistant"});
  request.messages.back().tool_calls = {{"id", "f", "{\"a\":1}"}};
  request.messages.push_back({.role = "tool", .content = "42 and more"});
  retokenised = {4};
  const auto report = send(known - 3);
  EXPECT_EQ(report.kind, Kind::turn_retokenised);
  EXPECT_EQ(report.message, 4);
  EXPECT_EQ(report.common_tokens, known - 3);
  EXPECT_EQ(report.cost_tokens, 3);
  EXPECT_NE(
      line_of(report).find("turn_retokenised at message 4 (assistant)"),
      std::string::npos);
}

TEST_F(PromptLogTest, IsBounded) {
  for (int i = 0; i < 300; ++i) {
    request.messages[1].content = "question " + std::to_string(1000 + i);
    send(0);
  }
  EXPECT_FALSE(log.find("1"));
  EXPECT_TRUE(log.find("300"));
  request.messages[1].content = "question 1299";
  EXPECT_EQ(send(1000).earlier, "300");
  request.messages[1].content = "question 1001";
  EXPECT_EQ(send(0).kind, Kind::evicted) << "with what is left, the system";
}

}  // namespace
}  // namespace rapid
