#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "engine/loop_guard.h"
#include "unit/front_harness.h"

namespace rapid {
namespace {

using Tokens = std::vector<int32_t>;

std::optional<chat::TokenLoop> loop_of(const Tokens& tokens) {
  RepeatDetector detector;
  for (const int32_t token : tokens) {
    detector.push(token);
  }
  return detector.found();
}

Tokens random_tokens(std::mt19937& random, size_t count, int32_t vocabulary) {
  Tokens out(count);
  for (int32_t& token : out) {
    token = static_cast<int32_t>(random() % vocabulary);
  }
  return out;
}

void repeat(Tokens& out, const Tokens& word, size_t tokens) {
  for (size_t i = 0; i < tokens; ++i) {
    out.push_back(word[i % word.size()]);
  }
}

size_t smallest_period(const Tokens& word) {
  for (size_t p = 1; p < word.size(); ++p) {
    bool holds = word.size() % p == 0;
    for (size_t i = p; i < word.size() && holds; ++i) {
      holds = word[i] == word[i - p];
    }
    if (holds) {
      return p;
    }
  }
  return word.size();
}

TEST(RepeatDetector, RandomTextIsNoLoop) {
  std::mt19937 random(1);
  for (const int32_t vocabulary : {2, 3, 10, 1000}) {
    for (int i = 0; i < 10; ++i) {
      EXPECT_FALSE(loop_of(random_tokens(random, 20000, vocabulary)));
    }
  }
}

TEST(RepeatDetector, PlantedLoopsAreFoundInTime) {
  std::mt19937 random(2);
  for (int i = 0; i < 400; ++i) {
    const size_t length =
        i % 3 == 0 ? 1 + random() % 12 : 1 + random() % (i % 10 ? 400 : 4096);
    const int32_t vocabulary = i % 2 == 0 ? 2 : 5000;
    const Tokens word = random_tokens(random, length, vocabulary);
    const size_t period = smallest_period(word);
    const int needed = loop_tokens(static_cast<int>(period));
    Tokens text = random_tokens(random, random() % 3000, 100000);
    const size_t start = text.size();
    repeat(text, word, static_cast<size_t>(2 * needed));
    const auto found = loop_of(text);
    ASSERT_TRUE(found) << period << " at " << start;
    EXPECT_EQ(static_cast<size_t>(found->period), period);
    EXPECT_LE(static_cast<size_t>(found->start), start);
    EXPECT_LE(start, static_cast<size_t>(found->start) + period);
    EXPECT_GE(found->repeats * found->period, 2 * needed - found->period);
  }
}

// What is reported is in the text, and nothing shorter than the rule.
TEST(RepeatDetector, EveryReportIsTrue) {
  std::mt19937 random(3);
  int reports = 0;
  for (int i = 0; i < 300; ++i) {
    Tokens text;
    while (text.size() < 3000) {
      const Tokens word = random_tokens(random, 1 + random() % 40, 3);
      repeat(text, word, random() % 200);
    }
    RepeatDetector detector;
    for (size_t n = 0; n < text.size() && !detector.found(); ++n) {
      detector.push(text[n]);
      if (const auto& found = detector.found()) {
        ++reports;
        const auto p = static_cast<size_t>(found->period);
        const auto start = static_cast<size_t>(found->start);
        EXPECT_GE(
            n + 1 - start, static_cast<size_t>(loop_tokens(found->period)));
        for (size_t at = start + p; at <= n; ++at) {
          ASSERT_EQ(text[at], text[at - p]);
        }
      }
    }
  }
  EXPECT_GT(reports, 20);
}

TEST(RepeatDetector, ShortRepetitionsAreFine) {
  Tokens text = {1, 2, 3};
  repeat(text, {7}, 127);  // a ruler, spaces
  text.push_back(1);
  repeat(text, {5, 6}, 120);  // zeros in a list
  text.push_back(2);
  Tokens row(40);
  for (int i = 0; i < 40; ++i) {
    row[i] = 100 + i;
  }
  repeat(text, row, 159);  // a paragraph, almost four times
  text.push_back(3);
  EXPECT_FALSE(loop_of(text));
  repeat(text, row, 160 * 2);
  EXPECT_TRUE(loop_of(text));
}

TEST(RepeatDetector, RepeatsAreCountedAsLongAsItLasts) {
  Tokens text = {9};
  repeat(text, {1, 2, 3, 4}, 4 * 500);
  auto found = loop_of(text);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->repeats, 500);
  EXPECT_EQ(found->start, 1);
  text.push_back(9);
  repeat(text, {1, 2, 3, 4}, 4 * 500);
  EXPECT_EQ(loop_of(text)->repeats, 500);
}

TEST(RepeatDetector, ConstantTimePerToken) {
  std::mt19937 random(4);
  // The worst for failure functions: long borders that break.
  Tokens text;
  while (text.size() < 1000000) {
    repeat(text, {1}, 100);
    text.push_back(static_cast<int32_t>(2 + random() % 1000));
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(loop_of(text));
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 5.0);
}

chat::Message call(std::string name, std::string arguments) {
  chat::Message out{.role = "assistant"};
  out.tool_calls = {{"id", std::move(name), std::move(arguments)}};
  return out;
}

chat::Message answer(std::string content) {
  return {.role = "tool", .content = std::move(content), .tool_call_id = "id"};
}

TEST(CallLoop, TheSameCallAndResultThreeTimes) {
  std::vector<chat::Message> messages = {{.role = "user", .content = "q"}};
  const auto add = [&](const char* arguments, const char* result) {
    messages.push_back(call("grep", arguments));
    messages.push_back(answer(result));
    return find_call_loop(messages);
  };
  EXPECT_FALSE(add(R"({"a": 1, "b": {"x": 1, "y": 2}})", "none"));
  EXPECT_FALSE(add(R"({"b":{"y":2,"x":1},"a":1})", "none"));
  EXPECT_FALSE(add(R"({"a": 2})", "none"));
  const auto found = add(R"({ "a":1, "b":{"x":1,"y":2} })", "none");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "grep");
  EXPECT_EQ(found->times, 3);
  // Another result is progress.
  EXPECT_FALSE(add(R"({"a": 1, "b": {"x": 1, "y": 2}})", "one line"));
}

TEST(CallLoop, RandomCallsAreNoLoopAndPlantedOnesAre) {
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    std::vector<chat::Message> messages;
    const int count = static_cast<int>(random() % 60);
    for (int c = 0; c < count; ++c) {
      messages.push_back(call("f", "{\"n\":" + std::to_string(c) + "}"));
      messages.push_back(answer("same"));
    }
    EXPECT_FALSE(find_call_loop(messages));
    const int times = 3 + static_cast<int>(random() % 20);
    for (int c = 0; c < times; ++c) {
      messages.push_back(call("f", "{}"));
      messages.push_back(answer("same"));
    }
    const auto found = find_call_loop(messages);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->times, std::min(times, 12));
  }
}

chat::Finished finish_of(
    LoopGuard guard, const chat::Request& request, std::string& text) {
  auto engine = std::make_shared<FakeEngine>();
  std::string answer = "Well: ";
  while (answer.size() < 2000) {
    answer += "and so on, ";
  }
  engine->script = [answer](const GenerateRequest&) {
    return FakeScript{.choices = {fake_ids(answer)}};
  };
  Front front(engine, fake_text_model(), {.loop_guard = guard});
  Recorder recorder;
  EXPECT_TRUE(front.submit(request, recorder.sink()));
  const auto finished = recorder.all<chat::Finished>();
  text = recorder.content();
  return finished.empty() ? chat::Finished{} : finished[0];
}

TEST(LoopGuard, ReportsOrEndsTheAnswer) {
  std::string text;
  auto end = finish_of(LoopGuard::off, chat_request("q"), text);
  EXPECT_FALSE(end.token_loop);
  EXPECT_GE(text.size(), 2000u);

  end = finish_of(LoopGuard::report, chat_request("q"), text);
  ASSERT_TRUE(end.token_loop);
  EXPECT_EQ(end.token_loop->period, 11);
  EXPECT_EQ(end.token_loop->repeats, 182);
  EXPECT_LE(end.token_loop->start, 6);
  EXPECT_GE(text.size(), 2000u);

  end = finish_of(LoopGuard::stop, chat_request("q"), text);
  ASSERT_TRUE(end.token_loop);
  EXPECT_EQ(end.reason, chat::Finished::Reason::stop);
  EXPECT_TRUE(text.starts_with("Well: and so on, "));
  EXPECT_GE(end.token_loop->repeats * 11, 2 * loop_tokens(11));
  EXPECT_LE(text.size(), 6u + 3 * static_cast<size_t>(loop_tokens(11)));
}

TEST(LoopGuard, NamesTheCallThatComesBack) {
  chat::Request request = chat_request("q");
  for (int i = 0; i < 4; ++i) {
    request.messages.push_back(call("grep", "{}"));
    request.messages.push_back(answer("none"));
  }
  std::string text;
  auto end = finish_of(LoopGuard::report, request, text);
  ASSERT_TRUE(end.call_loop);
  EXPECT_EQ(end.call_loop->name, "grep");
  EXPECT_EQ(end.call_loop->times, 4);
  EXPECT_FALSE(finish_of(LoopGuard::off, request, text).call_loop);
}

}  // namespace
}  // namespace rapid
