// Choices that leave the way their engine went: calls decoded again, strict
// calls, loops, and reasoning over its budget.
#include <gtest/gtest.h>

#include "engine/reasoning_budget.h"
#include "unit/front_harness.h"

namespace rapid {
namespace {

using Reason = chat::Finished::Reason;

constexpr std::string_view kBad = "<tool_call>{\"arguments\":{}}</tool_call>";
constexpr std::string_view kGood =
    "<tool_call>{\"name\":\"read\",\"arguments\":{\"p\":1}}</tool_call>";

class DetourTest : public ::testing::Test {
 protected:
  DetourTest() {
    request.tools = {{.name = "read"}};
    request.sampling.seed = 3;
  }

  // What the engine says first, and from each resumption on.
  void says(std::vector<std::string> answers) {
    engine->script = [answers, n = size_t{0}](const GenerateRequest&) mutable {
      const size_t now = std::min(n++, answers.size() - 1);
      return FakeScript{.choices = {fake_ids(answers[now])}};
    };
  }
  void run(FrontOptions options = {}) {
    Front front(engine, model, options);
    ASSERT_TRUE(front.submit(request, recorder.sink()));
    recorder.wait();
    stats = front.stats();
  }
  // What the engine was asked for in its n-th request, without the prompt of
  // the first.
  std::string kept(size_t n) const {
    const auto seen = engine->requests();
    std::string out;
    for (size_t i = seen[0].prompt.size(); i < seen[n].prompt.size(); ++i) {
      out += static_cast<char>(seen[n].prompt[i]);
    }
    return out;
  }

  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::shared_ptr<TextModel> model = fake_text_model();
  chat::Request request = chat_request("x");
  Recorder recorder;
  FrontStats stats;
};

TEST_F(DetourTest, AMalformedCallIsDecodedAgain) {
  says({"Hm. " + std::string(kBad) + "lost", std::string(kGood) + "!"});
  run();
  EXPECT_EQ(recorder.content(), "Hm. !");
  EXPECT_TRUE(recorder.all<chat::Rejected>().empty());
  const auto calls = recorder.all<chat::ToolCallEvent>();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].call.arguments, "{\"p\":1}");
  const auto finished = recorder.all<chat::Finished>();
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0].reason, Reason::tool_calls);
  EXPECT_EQ(finished[0].redecoded, 1);
  EXPECT_EQ(stats.redecoded, 1u);

  const auto seen = engine->requests();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(kept(1), "Hm. ");
  ASSERT_TRUE(seen[1].resume);
  EXPECT_EQ(seen[1].resume->answered, 4);
  EXPECT_EQ(seen[1].choices, 1);
  EXPECT_TRUE(seen[1].grammar);
  EXPECT_TRUE(seen[1].grammar_then_free);
  EXPECT_EQ(seen[1].sampling.seed, 3u);
  EXPECT_EQ(seen[1].max_tokens, seen[0].max_tokens - 4);
  EXPECT_EQ(
      recorder.all<chat::Done>()[0].usage.completion_tokens,
      static_cast<int>(4 + kGood.size() + 2));
}

TEST_F(DetourTest, AtMostTwiceAtOnePlace) {
  says({std::string(kBad) + " and on"});
  run();
  EXPECT_EQ(engine->requests().size(), 3u);
  EXPECT_EQ(recorder.all<chat::Rejected>().size(), 1u);
  EXPECT_EQ(recorder.content(), " and on");
  EXPECT_EQ(stats.redecoded, 2u);
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::stop);
}

TEST_F(DetourTest, OnlyWhenAsked) {
  says({std::string(kBad)});
  run({.redecode = false});
  EXPECT_EQ(engine->requests().size(), 1u);
  EXPECT_EQ(recorder.all<chat::Rejected>()[0].raw, kBad);
}

TEST_F(DetourTest, ACallCutByTheLimitStaysRejected) {
  says({std::string(kGood)});
  request.max_tokens = 20;
  run();
  EXPECT_EQ(engine->requests().size(), 1u);
  EXPECT_EQ(recorder.all<chat::Rejected>().size(), 1u);
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::length);
}

TEST_F(DetourTest, ARefusedGrammarLeavesTheCallAsItWas) {
  engine->script = [](const GenerateRequest& wanted) {
    FakeScript out{.choices = {fake_ids("a" + std::string(kBad) + "b")}};
    if (wanted.grammar) {
      out.fail = Error{ErrorCode::invalid_argument, "no such grammar"};
    } else if (wanted.resume) {
      out.choices = {fake_ids("c")};
    }
    return out;
  };
  run();
  EXPECT_EQ(engine->requests().size(), 3u);
  EXPECT_EQ(kept(2), "a" + std::string(kBad));
  EXPECT_EQ(recorder.all<chat::Rejected>()[0].raw, kBad);
  EXPECT_EQ(recorder.content(), "ac");
  EXPECT_EQ(stats.not_redecoded, 1u);
}

TEST_F(DetourTest, OtherChoicesGoOn) {
  const std::string text = "one" + std::string(kBad);
  engine->script = [text](const GenerateRequest& wanted) {
    return wanted.resume
               ? FakeScript{.choices = {fake_ids(kGood)}}
               : FakeScript{.choices = {fake_ids("zero"), fake_ids(text)}};
  };
  request.choices = 2;
  run();
  EXPECT_EQ(recorder.content(0), "zero");
  EXPECT_EQ(recorder.content(1), "one");
  EXPECT_EQ(recorder.all<chat::ToolCallEvent>(1).size(), 1u);
  EXPECT_EQ(engine->requests()[1].resume->choice, 1);
  EXPECT_EQ(recorder.all<chat::Finished>().size(), 2u);
  EXPECT_EQ(recorder.all<chat::Done>().size(), 1u);
}

TEST_F(DetourTest, StrictToolsGetTheirGrammarAtTheTag) {
  request.tools = {
      {.name = "read",
       .declaration = Json::parse(
           R"({"type": "function", "function": {"name": "read",
               "strict": true}})")}};
  says({"Hm.<tool_call>{junk that never ends", std::string(kGood)});
  run();
  const auto seen = engine->requests();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(kept(1), "Hm.");
  EXPECT_TRUE(seen[1].grammar);
  EXPECT_EQ(stats.strict, 1u);
  EXPECT_EQ(stats.redecoded, 0u);
  EXPECT_EQ(recorder.content(), "Hm.");
  EXPECT_EQ(recorder.all<chat::ToolCallEvent>().size(), 1u);
  EXPECT_EQ(recorder.all<chat::Finished>()[0].redecoded, 0);
}

TEST_F(DetourTest, StrictToolsGetTheirGrammarInOtherClothes) {
  request.tools = {
      {.name = "read",
       .declaration = Json::parse(R"({"name": "read", "strict": true})")}};
  says({"a\n```json\n{\"name\": \"read\" junk", std::string(kGood)});
  run();
  ASSERT_EQ(engine->requests().size(), 2u);
  EXPECT_EQ(kept(1), "a\n");
  EXPECT_EQ(stats.strict, 1u);
  EXPECT_EQ(recorder.content(), "a\n");
}

TEST_F(DetourTest, OneCallWhereOnlyOneIsWanted) {
  says({"a" + std::string(kGood) + std::string(kGood) + "b"});
  request.parallel_calls = false;
  run();
  EXPECT_EQ(recorder.all<chat::ToolCallEvent>().size(), 1u);
  EXPECT_EQ(recorder.content(), "a");
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::tool_calls);
}

TEST_F(DetourTest, ALoopOfCallsIsBrokenWhenAsked) {
  for (int i = 0; i < 3; ++i) {
    chat::Message call{.role = "assistant"};
    call.tool_calls = {{"c", "read", "{\"p\": 1}"}};
    request.messages.push_back(call);
    request.messages.push_back(
        {.role = "tool", .content = "same", .tool_call_id = "c"});
  }
  says({std::string(kGood), "Something else."});
  run({.loop_guard = LoopGuard::stop});
  const auto seen = engine->requests();
  ASSERT_EQ(seen.size(), 2u);
  ASSERT_EQ(seen[1].sampling.logit_bias.size(), 1u);
  EXPECT_EQ(seen[1].sampling.logit_bias[0].first, '<');
  EXPECT_FALSE(seen[1].grammar);
  EXPECT_EQ(recorder.content(), "Something else.");
  EXPECT_EQ(stats.loops_broken, 1u);
}

TEST_F(DetourTest, ReasoningEndsAtItsBudget) {
  model->reasoning = find_reasoning_style("qwen3");
  ASSERT_NE(model->reasoning, nullptr);
  says({"<think>and so on and on and on", "Yes."});
  request.tools.clear();
  request.reasoning_max_tokens = 6;
  run();
  ASSERT_EQ(engine->requests().size(), 2u);
  EXPECT_EQ(kept(1), "<think>and so\n</think>\n\n");
  EXPECT_EQ(recorder.content(), "and soYes.");
  EXPECT_EQ(stats.thoughts_closed, 1u);
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::stop);
}

TEST(ReasoningBudget, FromTheRequest) {
  chat::Request request;
  EXPECT_EQ(reasoning_budget(request, ""), std::nullopt);
  request.reasoning_effort = "low";
  EXPECT_EQ(reasoning_budget(request, ""), 512);
  EXPECT_EQ(reasoning_budget(request, "{{ reasoning_effort }}"), std::nullopt);
  request.reasoning_effort = "none";
  EXPECT_EQ(reasoning_budget(request, "{{ reasoning_effort }}"), 0);
  request.reasoning_max_tokens = 7;
  EXPECT_EQ(reasoning_budget(request, ""), 7);
  request = {};
  request.reasoning_effort = "ultra";
  EXPECT_EQ(reasoning_budget(request, ""), std::nullopt);
}

}  // namespace
}  // namespace rapid
