// Guesses change no answer: with all of them looked at in every step, each
// request gets what it gets without.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <list>
#include <random>

#include "../unit/grammar_words.h"
#include "engine/mlx_engine.h"
#include "toy_engine.h"

namespace rapid {
namespace {

using namespace test;
using Reason = EngineChoiceEnd::Reason;

class EngineSpeculationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tokenizer = *Tokenizer::from_vocabulary(words.vocabulary);
    plain = start(Speculating::off);
    guessing = start(Speculating::always);
  }

  std::unique_ptr<Engine> start(
      Speculating how, uint64_t budget_tokens = 0, bool draft = false) {
    EngineSetup setup;
    setup.load = [this]() -> Result<std::unique_ptr<Model>> {
      return std::unique_ptr<Model>(std::make_unique<ToyModel>(knobs));
    };
    setup.prefill_chunk = 32;
    setup.state_budget = 2 * 1000 * budget_tokens;  // two layers
    setup.speculating = how;
    if (draft) {
      setup.load_draft = [this]() -> Result<std::unique_ptr<Model>> {
        return std::unique_ptr<Model>(std::make_unique<ToyModel>(draft_knobs));
      };
    }
    setup.grammar_words = [this](int32_t rows) -> Result<GrammarWords> {
      const std::vector<int32_t> ends = {words.end};
      return GrammarVocabulary::build(tokenizer, ends, rows);
    };
    auto started = start_engine(std::move(setup));
    EXPECT_TRUE(started) << started.error().what;
    return *std::move(started);
  }

  // Of a few words only, so that some guesses are right and some wrong.
  static GenerateRequest request(int seed, int words, int tokens) {
    GenerateRequest out;
    for (int i = 0; i < 20 + seed % 30; ++i) {
      out.prompt.push_back((i * 37 + seed * 101) % (kVocabulary - 1));
    }
    out.sampling.temperature = seed % 3 == 0 ? 0.f : 1.f;
    out.sampling.seed = static_cast<uint64_t>(seed);
    for (int i = 0; i < words; ++i) {
      out.sampling.logit_bias.push_back({10 + 7 * i, 100.f});
    }
    out.max_tokens = tokens;
    out.logprobs = 2;
    return out;
  }

  static void expect_equal(const Outcome& got, const Outcome& want) {
    EXPECT_EQ(got.tokens, want.tokens);
    EXPECT_EQ(got.logprobs, want.logprobs);
    ASSERT_EQ(got.ends.size(), want.ends.size());
    ASSERT_TRUE(got.done && want.done);
    EXPECT_EQ(got.done->generated, want.done->generated);
  }

  Words words = byte_words();
  std::shared_ptr<const Tokenizer> tokenizer;
  ToyKnobs knobs;
  ToyKnobs draft_knobs;
  std::unique_ptr<Engine> plain;
  std::unique_ptr<Engine> guessing;
};

TEST_F(EngineSpeculationTest, AnswersAreThoseOfPlainDecode) {
  int accepted = 0;
  int drafted = 0;
  for (int seed = 0; seed < 40; ++seed) {
    std::vector<GenerateRequest> requests;
    for (int i = 0; i <= seed % 4; ++i) {
      GenerateRequest& each =
          requests.emplace_back(request(5 * seed + i, 2 + i, 60 + seed));
      each.choices = seed % 5 == 0 ? 3 : 1;
      each.sampling.repetition_penalty = seed % 7 == 0 ? 1.2f : 1.f;
      each.sampling.presence_penalty = seed % 6 == 0 ? 0.5f : 0.f;
      each.sampling.top_p = seed % 4 == 0 ? 0.9f : 1.f;
      each.end_tokens = {seed % 2 == 0 ? 17 : 11};
    }
    const auto got = together(*guessing, requests);
    const auto want = together(*plain, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(fmt::format("seed {}, request {}", seed, i));
      expect_equal(got[i], want[i]);
      accepted += got[i].done->accepted;
      drafted += got[i].done->drafted;
      EXPECT_EQ(want[i].done->drafted, 0);
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(drafted, accepted);
  EXPECT_EQ(guessing->stats().drafted_tokens, static_cast<uint64_t>(drafted));
  EXPECT_EQ(guessing->stats().accepted_tokens, static_cast<uint64_t>(accepted));
}

TEST_F(EngineSpeculationTest, WhatRepeatsTakesFewSteps) {
  const auto same = request(3, 1, 200);
  const Outcome want = together(*plain, {same})[0];
  knobs.forwards = 0;
  const Outcome got = together(*guessing, {same})[0];
  expect_equal(got, want);
  EXPECT_LT(knobs.forwards, 30);
  EXPECT_GT(got.done->accepted, 150);
}

// The limit and the end come in the middle of guesses that were right.
TEST_F(EngineSpeculationTest, EndsWhereItShould) {
  for (int tokens = 1; tokens < 40; ++tokens) {
    const auto same = request(3, 1, tokens);
    const Outcome got = together(*guessing, {same})[0];
    EXPECT_EQ(got.text(), std::vector<int32_t>(tokens, 10));
    EXPECT_EQ(got.ends.at(0).reason, Reason::length);
    EXPECT_EQ(got.done->generated, tokens);
    EXPECT_LT(got.done->drafted, tokens);
  }
  int ended = 0;
  for (int seed = 0; seed < 30; ++seed) {
    auto wish = request(seed, 2, 80);
    wish.sampling.logit_bias.push_back({30, 97.f});
    wish.end_tokens = {30};
    const Outcome got = together(*guessing, {wish})[0];
    expect_equal(got, together(*plain, {wish})[0]);
    ended += got.ends.at(0).reason == Reason::end_token ? 1 : 0;
  }
  EXPECT_GT(ended, 5);
}

// What is kept of an answer is what it said, however it was made.
TEST_F(EngineSpeculationTest, TheNextTurnFindsAsMuch) {
  for (int seed = 0; seed < 12; ++seed) {
    const auto first = request(seed, 2, 30 + seed);
    const Outcome said = together(*guessing, {first})[0];
    together(*plain, {first});
    auto second = first;
    second.prompt.insert(
        second.prompt.end(), said.text().begin(), said.text().end());
    second.prompt.push_back(400 + seed);
    const Outcome got = together(*guessing, {second})[0];
    const Outcome want = together(*plain, {second})[0];
    expect_equal(got, want);
    EXPECT_EQ(got.cached(), want.cached());
    EXPECT_GE(got.cached(), static_cast<int>(second.prompt.size()) - 2);
  }
}

TEST_F(EngineSpeculationTest, StatesThatCannotGoBackAreMadeAgain) {
  knobs.can_trim = false;
  for (int seed = 0; seed < 6; ++seed) {
    const auto wish = request(seed, 2, 40);
    const Outcome got = together(*guessing, {wish})[0];
    expect_equal(got, together(*plain, {wish})[0]);
  }
}

TEST_F(EngineSpeculationTest, LittleMemoryAndFailingSteps) {
  guessing = start(Speculating::always, 300);
  std::mt19937 random(7);
  for (int round = 0; round < 8; ++round) {
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 4; ++i) {
      requests.push_back(request(round * 11 + i, 2, 60));
    }
    const auto want = together(*plain, requests);
    std::list<Collector> collectors;
    for (const auto& each : requests) {
      guessing->submit(each, collectors.emplace_back(1).sink());
    }
    if (round % 2 == 0) {
      collectors.back().wait_until(
          [](const Outcome& now) { return now.text().size() > 5; });
      knobs.throw_at = 1;
    }
    int failed = 0;
    size_t i = 0;
    for (Collector& each : collectors) {
      const Outcome got = each.wait();
      if (got.error) {
        ++failed;  // it was alone in the step
      } else {
        expect_equal(got, want[i]);
      }
      ++i;
    }
    EXPECT_LE(failed, round % 2 == 0 ? 1 : 0);
    knobs.throw_at = -1;
  }
}

TEST_F(EngineSpeculationTest, ACancelEndsIt) {
  knobs.delay_us = 500;
  const auto wish = request(4, 2, 300);
  Collector collector(1);
  const RequestId id = guessing->submit(wish, collector.sink());
  collector.wait_until(
      [](const Outcome& now) { return now.text().size() > 20; });
  guessing->cancel(id);
  const Outcome got = collector.wait();
  knobs.delay_us = 0;
  auto want = together(*plain, {wish})[0].text();
  ASSERT_LE(got.text().size(), want.size());
  want.resize(got.text().size());
  EXPECT_EQ(got.text(), want);
}

// It is the same model: its guesses are right where likeliest is all that
// counts, and all wrong where a bias decides.
TEST_F(EngineSpeculationTest, AModelGuesses) {
  guessing = start(Speculating::always, 0, true);
  for (const bool trims : {true, false}) {
    draft_knobs.can_trim = trims;
    for (int seed = 0; seed < 6; ++seed) {
      const auto greedy = request(3 * seed, 0, 120);
      const Outcome got = together(*guessing, {greedy})[0];
      expect_equal(got, together(*plain, {greedy})[0]);
      EXPECT_GT(got.done->accepted, 80);
      auto drawn = request(3 * seed + 1, seed % 2 == 0 ? 0 : 3, 60);
      drawn.choices = 2;
      const auto two = together(*guessing, {drawn, greedy});
      expect_equal(two[0], together(*plain, {drawn})[0]);
      expect_equal(two[1], got);
    }
  }
  // Long rows: it begins again from their end.
  auto longer = request(0, 0, 20);
  while (longer.prompt.size() < 370) {
    longer.prompt.push_back(static_cast<int32_t>(longer.prompt.size() % 300));
  }
  expect_equal(together(*guessing, {longer})[0], together(*plain, {longer})[0]);
}

TEST_F(EngineSpeculationTest, ADraftModelThatFailsFailsNobody) {
  guessing = start(Speculating::always, 0, true);
  const auto wish = request(3, 0, 60);
  draft_knobs.throw_at = 5;
  const Outcome want = together(*plain, {wish})[0];
  expect_equal(together(*guessing, {wish})[0], want);
  const Outcome next = together(*guessing, {wish})[0];
  expect_equal(next, want);
  EXPECT_GT(next.done->accepted, 40);
}

// A resumed choice goes on as it would have.
TEST_F(EngineSpeculationTest, GoesOnFromTheMiddle) {
  for (int seed = 0; seed < 10; ++seed) {
    const auto wish = request(seed, 3, 60);
    const Outcome want = together(*plain, {wish})[0];
    auto rest = wish;
    const int said = 7 + 3 * seed;
    rest.prompt.insert(
        rest.prompt.end(), want.text().begin(), want.text().begin() + said);
    rest.max_tokens -= said;
    rest.resume = Resumption{.choice = 0, .answered = said};
    const Outcome got = together(*guessing, {rest})[0];
    EXPECT_EQ(
        got.text(),
        std::vector<int32_t>(want.text().begin() + said, want.text().end()));
  }
}

TEST_F(EngineSpeculationTest, GrammarsHoldInEveryRow) {
  int accepted = 0;
  for (int seed = 1; seed <= 20; ++seed) {
    GenerateRequest wish;
    for (int i = 0; i < 40; ++i) {
      wish.prompt.push_back((i * 37 + seed) % 256);
    }
    wish.sampling.seed = static_cast<uint64_t>(seed);
    wish.sampling.temperature = 3;
    wish.max_tokens = 250;
    wish.end_tokens = {words.end};
    wish.grammar = GrammarSource{
        GrammarSource::Kind::regex, "((yes, sir|no, sir)! ){12}end"};
    wish.choices = seed % 4 == 0 ? 2 : 1;
    const Outcome got = together(*guessing, {wish})[0];
    ASSERT_FALSE(got.error) << got.error->what;
    expect_equal(got, together(*plain, {wish})[0]);
    EXPECT_EQ(got.ends.at(0).reason, Reason::end_token);
    accepted += got.done->accepted;
  }
  EXPECT_GT(accepted, 500);
}

}  // namespace
}  // namespace rapid
