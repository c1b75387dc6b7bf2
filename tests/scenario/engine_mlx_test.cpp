// The engine on a toy model.
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "engine/mlx_engine.h"
#include "toy_engine.h"

namespace rapid {
namespace {

using namespace test;

class MlxEngineTest : public ::testing::Test {
 protected:
  void SetUp() override { start(0); }

  void start(uint64_t budget) {
    EngineSetup setup;
    setup.load = [this]() -> Result<std::unique_ptr<Model>> {
      return std::unique_ptr<Model>(std::make_unique<ToyModel>(knobs));
    };
    setup.prefill_chunk = 32;
    setup.state_budget = budget;
    auto started = start_engine(std::move(setup));
    ASSERT_TRUE(started);
    engine = *std::move(started);
  }

  Outcome run(GenerateRequest request) {
    Collector collector(request.choices);
    engine->submit(std::move(request), collector.sink());
    return collector.wait();
  }

  static GenerateRequest greedy(std::vector<int32_t> prompt, int tokens) {
    GenerateRequest request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.max_tokens = tokens;
    return request;
  }

  static std::vector<int32_t> prompt(int length, int seed = 1) {
    std::vector<int32_t> out;
    for (int i = 0; i < length; ++i) {
      out.push_back((i * 37 + seed * 101) % kVocabulary);
    }
    return out;
  }

  // The same request without a cache.
  Outcome cold(GenerateRequest request) {
    request.use_cache = false;
    return run(std::move(request));
  }

  ToyKnobs knobs;
  std::unique_ptr<Engine> engine;
};

TEST_F(MlxEngineTest, SecondTurnPrefillsOnlyWhatIsNew) {
  const auto first = run(greedy(prompt(100), 20));
  ASSERT_TRUE(first.done);
  EXPECT_EQ(first.cached(), 0);
  EXPECT_EQ(first.text().size(), 20u);
  EXPECT_EQ(first.ends[0].reason, EngineChoiceEnd::Reason::length);
  EXPECT_EQ(first.progress, 4);  // 32 + 32 + 32 + 4

  auto turn = prompt(100);
  turn.insert(turn.end(), first.text().begin(), first.text().end());
  const auto more = prompt(30, 7);
  turn.insert(turn.end(), more.begin(), more.end());
  const auto second = run(greedy(turn, 20));
  EXPECT_EQ(second.cached(), 119);  // all but the last sampled token
  EXPECT_EQ(second.text(), cold(greedy(turn, 20)).text());

  // The same prompt again: all but its last token, which is evaluated.
  EXPECT_EQ(run(greedy(turn, 20)).cached(), 149);
  // Another one: nothing.
  EXPECT_EQ(run(greedy(prompt(50, 3), 5)).cached(), 0);
  EXPECT_EQ(cold(greedy(prompt(50, 3), 5)).cached(), 0);
}

TEST_F(MlxEngineTest, EveryPrefixGivesTheSameTokens) {
  const auto base = prompt(70);
  const auto want = run(greedy(base, 12)).text();
  EXPECT_EQ(cold(greedy(base, 12)).text(), want);
  int seed = 10;
  for (const int shared : {1, 31, 32, 33, 63, 64, 69, 70}) {
    auto other = prompt(90, ++seed);
    std::copy_n(base.begin(), shared, other.begin());
    const auto branch = run(greedy(other, 8));
    EXPECT_EQ(branch.cached(), shared);
    EXPECT_EQ(branch.text(), cold(greedy(other, 8)).text()) << shared;
    // The first prompt is still there.
    const auto again = run(greedy(base, 12));
    EXPECT_EQ(again.cached(), 69);
    EXPECT_EQ(again.text(), want) << shared;
  }
}

// Agents in turn: nobody's prompt pushes out another's.
TEST_F(MlxEngineTest, ManyConversationsStayWarm) {
  std::vector<std::vector<int32_t>> talks;
  for (int agent = 0; agent < 6; ++agent) {
    talks.push_back(prompt(60, 20 + agent));
  }
  for (int turn = 0; turn < 4; ++turn) {
    for (auto& talk : talks) {
      const auto answer = run(greedy(talk, 8));
      EXPECT_EQ(answer.text(), cold(greedy(talk, 8)).text());
      if (turn > 0) {
        EXPECT_EQ(answer.cached(), static_cast<int>(talk.size()) - 5 - 1);
      }
      talk.insert(talk.end(), answer.text().begin(), answer.text().end());
      for (int i = 0; i < 5; ++i) {
        talk.push_back((turn * 11 + i) % kVocabulary);
      }
    }
  }
}

TEST_F(MlxEngineTest, StateThatCannotTrimStartsFresh) {
  knobs.can_trim = false;
  const auto want = cold(greedy(prompt(40), 8)).text();
  ASSERT_TRUE(run(greedy(prompt(60), 8)).done);
  const auto again = run(greedy(prompt(40), 8));
  EXPECT_EQ(again.cached(), 0);
  EXPECT_EQ(again.text(), want);
}

TEST_F(MlxEngineTest, ChoicesAreThemselvesAloneAndTogether) {
  GenerateRequest request = greedy(prompt(50), 16);
  request.sampling.temperature = 1;
  request.sampling.seed = 42;
  const auto alone = run(request);
  request.choices = 4;
  const auto together = run(request);
  ASSERT_EQ(together.ends.size(), 4u);
  EXPECT_EQ(together.tokens[0], alone.tokens[0]);
  EXPECT_NE(together.tokens[1], together.tokens[0]);
  EXPECT_NE(together.tokens[2], together.tokens[1]);
  EXPECT_EQ(together.done->generated, 64);
  EXPECT_EQ(run(request).tokens, together.tokens);
  EXPECT_EQ(cold(request).tokens, together.tokens);
  // The session goes on as choice 0.
  auto turn = prompt(50);
  turn.insert(turn.end(), together.tokens[0].begin(), together.tokens[0].end());
  EXPECT_EQ(run(greedy(turn, 4)).cached(), 65);
  EXPECT_EQ(run(greedy(turn, 4)).text(), cold(greedy(turn, 4)).text());
}

// A choice that is taken up again at any place goes on as it would have.
TEST_F(MlxEngineTest, ResumedChoicesDrawTheSameTokens) {
  GenerateRequest whole;
  whole.prompt = prompt(50);
  whole.sampling.temperature = 1.2f;
  whole.sampling.seed = 11;
  whole.sampling.repetition_penalty = 1.4f;
  whole.sampling.presence_penalty = 0.7f;
  whole.max_tokens = 24;
  whole.choices = 3;
  const auto want = run(whole);
  for (const int choice : {0, 2}) {
    const auto& tokens = want.tokens[choice];
    for (const int answered : {0, 1, 7, 23}) {
      GenerateRequest rest = whole;
      rest.choices = 1;
      rest.resume = Resumption{choice, answered};
      rest.max_tokens -= answered;
      rest.prompt.insert(
          rest.prompt.end(), tokens.begin(), tokens.begin() + answered);
      const std::vector<int32_t> tail(tokens.begin() + answered, tokens.end());
      EXPECT_EQ(run(rest).text(), tail) << choice << " " << answered;
      EXPECT_EQ(cold(rest).text(), tail) << choice << " " << answered;
    }
  }
  whole.resume = Resumption{0, 3};
  EXPECT_TRUE(run(whole).error) << "three choices cannot go on";
  whole.choices = 1;
  whole.resume = Resumption{0, 50};
  EXPECT_TRUE(run(whole).error) << "an answer without a prompt";
}

TEST_F(MlxEngineTest, EndTokensLengthAndContext) {
  const auto all = run(greedy(prompt(20), 10)).text();
  GenerateRequest request = greedy(prompt(20), 10);
  request.end_tokens = {all[4]};
  const auto ended = run(request);
  EXPECT_EQ(ended.text(), std::vector<int32_t>(all.begin(), all.begin() + 4));
  EXPECT_EQ(ended.ends[0].reason, EngineChoiceEnd::Reason::end_token);
  EXPECT_EQ(ended.ends[0].end_token, all[4]);
  EXPECT_EQ(ended.done->generated, 5);

  const auto full = run(greedy(prompt(kContext - 3), 10));
  EXPECT_EQ(full.text().size(), 3u);
  EXPECT_EQ(full.ends[0].reason, EngineChoiceEnd::Reason::length);

  const auto none = run(greedy(prompt(kContext), 1));
  ASSERT_TRUE(none.error);
  EXPECT_EQ(none.error->code, ErrorCode::context_length);
  EXPECT_NE(none.error->what.find("400"), std::string::npos);
  EXPECT_EQ(run(greedy({}, 1)).error->code, ErrorCode::invalid_argument);
  EXPECT_EQ(
      run(greedy({kVocabulary}, 1)).error->code, ErrorCode::invalid_argument);
  EXPECT_EQ(run(greedy({-1}, 1)).error->code, ErrorCode::invalid_argument);
}

TEST_F(MlxEngineTest, PromptLogprobsAreTheSameWarmAndCold) {
  GenerateRequest request = greedy(prompt(90), 2);
  request.prompt_logprobs = 3;
  request.logprobs = 3;
  const auto first = run(request);
  ASSERT_TRUE(run(greedy(prompt(90), 30)).done);  // fills the session
  const auto warm = run(request);
  ASSERT_EQ(first.prefilled->logprobs.size(), 90u);
  EXPECT_FALSE(first.prefilled->logprobs[0].logprob);
  for (int i = 1; i < 90; ++i) {
    const auto& a = first.prefilled->logprobs[i];
    const auto& b = warm.prefilled->logprobs[i];
    ASSERT_TRUE(a.logprob);
    EXPECT_EQ(*a.logprob, *b.logprob);
    ASSERT_EQ(a.top.size(), 3u);
    EXPECT_EQ(a.top[2].id, b.top[2].id);
    EXPECT_LE(*a.logprob, a.top[0].logprob);
  }
  EXPECT_EQ(first.logprobs, warm.logprobs);
  EXPECT_EQ(warm.cached(), 0);
  // The session was not touched.
  EXPECT_EQ(run(greedy(prompt(90), 1)).cached(), 89);

  // A token's logprob as prompt is its logprob as output.
  auto longer = prompt(90);
  longer.push_back(first.text()[0]);
  request.prompt = longer;
  request.max_tokens = 0;
  const auto scored = run(request);
  EXPECT_EQ(*scored.prefilled->logprobs[90].logprob, first.logprobs[0][0]);
  EXPECT_EQ(scored.ends[0].reason, EngineChoiceEnd::Reason::length);
  EXPECT_EQ(scored.done->generated, 0);
}

TEST_F(MlxEngineTest, CancelInPrefillLeavesTheSessionWhole) {
  knobs.delay_us = 3000;
  Collector collector(1);
  const auto id = engine->submit(greedy(prompt(390), 5), collector.sink());
  collector.wait_until([](const Outcome& run) { return run.progress >= 2; });
  engine->cancel(id);
  const auto cancelled = collector.wait();
  ASSERT_TRUE(cancelled.done);
  EXPECT_EQ(cancelled.ends[0].reason, EngineChoiceEnd::Reason::cancelled);
  EXPECT_FALSE(cancelled.prefilled);
  knobs.delay_us = 0;
  const auto again = run(greedy(prompt(390), 5));
  EXPECT_GE(again.cached(), 64);
  EXPECT_LT(again.cached(), 389);
  EXPECT_EQ(again.text(), cold(greedy(prompt(390), 5)).text());
}

TEST_F(MlxEngineTest, CancelInDecodeAndWhileWaiting) {
  knobs.delay_us = 2000;
  GenerateRequest request = greedy(prompt(40), 300);
  request.choices = 3;
  request.sampling.temperature = 1;
  Collector running(3);
  Collector waiting(1);
  const auto id = engine->submit(request, running.sink());
  const auto second = engine->submit(greedy(prompt(9), 5), waiting.sink());
  engine->cancel(second);
  running.wait_until([](const Outcome& r) { return r.tokens[1].size() >= 3; });
  EXPECT_EQ(engine->stats().running, 1);
  engine->cancel(id, 1);
  const auto one =
      running.wait_until([](const Outcome& r) { return r.ends.size() == 1; });
  EXPECT_EQ(one.ends[0].choice, 1);
  EXPECT_EQ(one.ends[0].reason, EngineChoiceEnd::Reason::cancelled);
  engine->cancel(id);
  const auto all = running.wait();
  EXPECT_EQ(all.ends.size(), 3u);
  EXPECT_LT(all.text().size(), 300u);
  const auto never = waiting.wait();
  EXPECT_EQ(never.ends[0].reason, EngineChoiceEnd::Reason::cancelled);
  knobs.delay_us = 0;
  // What choice 0 said so far is in the session.
  auto turn = prompt(40);
  turn.insert(turn.end(), all.text().begin(), all.text().end());
  const auto next = run(greedy(turn, 6));
  EXPECT_EQ(next.cached(), static_cast<int>(turn.size()) - 1);
  EXPECT_EQ(next.text(), cold(greedy(turn, 6)).text());
}

TEST_F(MlxEngineTest, AFailedStepFailsOneRequest) {
  for (const int step : {1, 2, 4}) {  // in prefill twice, then in decode
    const auto wish = greedy(prompt(60, step), 6);  // in no cache
    const auto want = cold(wish).text();
    knobs.throw_at = step;
    const auto failed = run(wish);
    ASSERT_TRUE(failed.error) << step;
    EXPECT_EQ(failed.error->code, ErrorCode::internal);
    EXPECT_NE(failed.error->what.find("toy failure"), std::string::npos);
    EXPECT_EQ(run(wish).text(), want);
  }
}

TEST_F(MlxEngineTest, MemoryIsPlanned) {
  engine.reset();
  start(2 * 1000 * 100);  // two layers, 100 tokens
  EXPECT_EQ(run(greedy(prompt(60), 40)).text().size(), 40u);
  const auto refused = run(greedy(prompt(60), 41));
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, ErrorCode::too_large);
  GenerateRequest rest = greedy(prompt(60), 300);
  rest.may_shorten = true;
  EXPECT_EQ(run(rest).text().size(), 40u);
  rest.prompt = prompt(100);
  const auto over = run(rest);  // not even one token of answer fits
  EXPECT_EQ(over.error->code, ErrorCode::context_length);
  EXPECT_NE(over.error->what.find("holds a context of 100"), std::string::npos)
      << over.error->what;
  EXPECT_EQ(engine->info().context_length, 100);
  EXPECT_EQ(engine->info().model_context_length, kContext);
  // It would fit alone: only the number of choices is too much.
  GenerateRequest wide = greedy(prompt(60), 30);
  wide.choices = 3;
  EXPECT_EQ(run(wide).error->code, ErrorCode::too_large);
}

// Room is made for what is said, not for what might have been.
TEST_F(MlxEngineTest, KeptPromptsGoOnlyWhenTheyMust) {
  engine.reset();
  start(2 * 1000 * 300);  // two layers, 300 tokens
  ASSERT_TRUE(run(greedy(prompt(100), 1)).done);
  knobs.delay_us = 1000;
  Collector collector(1);
  const RequestId id =
      engine->submit(greedy(prompt(60, 5), 230), collector.sink());
  collector.wait_until(
      [](const Outcome& now) { return now.tokens[0].size() > 3; });
  engine->cancel(id);
  collector.wait();
  knobs.delay_us = 0;
  EXPECT_EQ(run(greedy(prompt(100), 1)).cached(), 99);
  // This one needs it all.
  EXPECT_EQ(run(greedy(prompt(60, 6), 230)).text().size(), 230u);
  EXPECT_EQ(run(greedy(prompt(100), 1)).cached(), 0);
}

TEST_F(MlxEngineTest, DestructorFailsOpenRequests) {
  knobs.delay_us = 2000;
  Collector running(1);
  Collector waiting(1);
  engine->submit(greedy(prompt(40), 300), running.sink());
  engine->submit(greedy(prompt(40), 300), waiting.sink());
  running.wait_until([](const Outcome& r) { return r.text().size() >= 2; });
  engine.reset();
  EXPECT_EQ(running.wait().error->code, ErrorCode::cancelled);
  EXPECT_EQ(waiting.wait().error->code, ErrorCode::cancelled);
}

TEST_F(MlxEngineTest, LoadErrorsComeBack) {
  EngineSetup setup;
  setup.load = []() -> Result<std::unique_ptr<Model>> {
    return Error{ErrorCode::corrupt, "bad file"};
  };
  const auto failed = start_engine(std::move(setup));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().what, "bad file");
}

}  // namespace
}  // namespace rapid
