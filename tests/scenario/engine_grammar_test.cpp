// Grammars in the engine, on a toy model that says anything at random.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "../unit/grammar_words.h"
#include "base/json.h"
#include "toy_engine.h"

namespace rapid {
namespace {

using namespace test;
using Kind = GrammarSource::Kind;
using Reason = EngineChoiceEnd::Reason;

constexpr const char* kSchema = R"({
  "type": "object",
  "properties": {
    "kind": {"enum": ["cat", "dog"]},
    "n": {"type": "integer", "minimum": 0, "maximum": 999},
    "s": {"type": "string", "maxLength": 8, "format": "no-such"},
    "list": {"type": "array", "maxItems": 3, "items": {"type": "boolean"}}},
  "required": ["kind", "n", "s", "list"], "additionalProperties": false})";

class EngineGrammar : public ::testing::Test {
 protected:
  void SetUp() override {
    tokenizer = *Tokenizer::from_vocabulary(words.vocabulary);
    EngineSetup setup;
    setup.load = [this]() -> Result<std::unique_ptr<Model>> {
      return std::unique_ptr<Model>(std::make_unique<ToyModel>(knobs));
    };
    setup.prefill_chunk = 32;
    setup.grammar_words = [this](int32_t rows) -> Result<GrammarWords> {
      ++built;
      const std::vector<int32_t> ends = {words.end};
      return GrammarVocabulary::build(tokenizer, ends, rows);
    };
    auto started = start_engine(std::move(setup));
    ASSERT_TRUE(started);
    engine = *std::move(started);
  }

  GenerateRequest request(GrammarSource source, uint64_t seed) const {
    GenerateRequest out;
    for (int i = 0; i < 40; ++i) {
      out.prompt.push_back(static_cast<int32_t>((i * 37 + seed) % 256));
    }
    out.sampling.seed = seed;
    out.sampling.temperature = 3;
    out.max_tokens = 300;
    out.end_tokens = {words.end};
    out.grammar = std::move(source);
    return out;
  }

  Outcome run(GenerateRequest request) {
    Collector collector(request.choices);
    engine->submit(std::move(request), collector.sink());
    return collector.wait();
  }

  std::string text(const std::vector<int32_t>& tokens) const {
    std::string out;
    for (const int32_t token : tokens) {
      out += tokenizer->token_bytes(token);
    }
    return out;
  }

  Words words = byte_words();
  std::shared_ptr<const Tokenizer> tokenizer;
  std::atomic<int> built = 0;
  ToyKnobs knobs;
  std::unique_ptr<Engine> engine;
};

TEST_F(EngineGrammar, RandomLogitsGiveValidJson) {
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const auto done = run(request({Kind::json_schema, kSchema}, seed));
    ASSERT_FALSE(done.error) << done.error->what;
    EXPECT_EQ(done.ends.at(0).reason, Reason::end_token);
    EXPECT_EQ(
        done.prefilled->grammar_relaxed,
        std::vector<std::string>{"properties.s: format"});
    const auto json = parse_json(text(done.text()));
    ASSERT_TRUE(json) << text(done.text());
    EXPECT_TRUE((*json)["kind"] == "cat" || (*json)["kind"] == "dog");
    EXPECT_LE((*json)["n"].get<int>(), 999);
    EXPECT_LE((*json)["list"].size(), 3u);
    seen.insert(text(done.text()));
  }
  EXPECT_GT(seen.size(), 35u);
  EXPECT_EQ(built, 1);
}

TEST_F(EngineGrammar, ChoicesStandAtDifferentPlaces) {
  auto wish = request({Kind::json_schema, kSchema}, 5);
  wish.choices = 4;
  const auto done = run(wish);
  ASSERT_TRUE(done.done);
  std::set<std::string> seen;
  std::set<size_t> lengths;
  for (const auto& tokens : done.tokens) {
    EXPECT_TRUE(parse_json(text(tokens))) << text(tokens);
    seen.insert(text(tokens));
    lengths.insert(tokens.size());
  }
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_GT(lengths.size(), 1u);
  // The same, one by one: a choice's draws are its own.
  wish.choices = 1;
  EXPECT_EQ(run(wish).text(), done.text());
}

// While it is free an end would be one without the answer.
TEST_F(EngineGrammar, StartsBehindTheClose) {
  int started = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    auto wish = request({Kind::regex, "(yes|no)!"}, seed);
    wish.grammar_after = {words.call_end};
    wish.sampling.logit_bias = {{words.end, 30.f}, {words.call_end, 9.f}};
    const auto done = run(wish);
    ASSERT_TRUE(done.done);
    const auto& tokens = done.text();
    const auto close = std::find(tokens.begin(), tokens.end(), words.call_end);
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), words.end), 0);
    if (close == tokens.end()) {
      EXPECT_EQ(done.ends.at(0).reason, Reason::length);
      continue;
    }
    ++started;
    const std::string answer = text({close + 1, tokens.end()});
    EXPECT_TRUE(answer == "yes!" || answer == "no!") << answer;
    EXPECT_EQ(done.ends.at(0).reason, Reason::end_token);
  }
  EXPECT_GT(started, 10);
}

TEST_F(EngineGrammar, EndsOnlyWhereItMayAndThenByTheModel) {
  auto wish = request({Kind::regex, "ab*"}, 3);
  wish.sampling.logit_bias = {{words.end, 50.f}};
  const auto done = run(wish);
  EXPECT_EQ(text(done.text()), "a");
  EXPECT_EQ(done.ends.at(0).reason, Reason::end_token);
  EXPECT_EQ(done.ends.at(0).end_token, words.end);
  // An end token that only the request knows.
  wish.end_tokens = {words.call};
  wish.sampling.logit_bias = {{words.call, 50.f}, {words.end, -100.f}};
  const auto other = run(wish);
  EXPECT_EQ(text(other.text()), "a");
  EXPECT_EQ(other.ends.at(0).end_token, words.call);
}

TEST_F(EngineGrammar, LogprobsAreOfTheRawLogits) {
  auto wish = request({Kind::regex, "[a-c]{5}"}, 4);
  wish.logprobs = 2;
  wish.sampling.temperature = 0;
  const auto done = run(wish);
  ASSERT_EQ(done.text().size(), 5u);
  auto free = wish;
  free.grammar.reset();
  free.max_tokens = 1;
  const auto open = run(free);
  // The first row is the same: its best is better than what was allowed.
  EXPECT_LT(done.logprobs.at(0).at(0), open.logprobs.at(0).at(0));
  EXPECT_GT(done.logprobs.at(0).at(0), -1000.f);
}

TEST_F(EngineGrammar, WhatCannotBeCompiledFailsBeforeAnyToken) {
  const auto failed = run(request({Kind::json_schema, R"({"type": 3})"}, 1));
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->code, ErrorCode::invalid_argument);
  EXPECT_THAT(failed.error->what, testing::HasSubstr("cannot be compiled"));
  EXPECT_TRUE(failed.text().empty());
  EXPECT_FALSE(failed.prefilled);
  auto wish = request({Kind::regex, "a"}, 1);
  wish.grammar_after = {kVocabulary};
  EXPECT_EQ(run(wish).error->code, ErrorCode::invalid_argument);
  // And the next one is fine.
  EXPECT_EQ(text(run(request({Kind::regex, "abc"}, 1)).text()), "abc");
}

TEST_F(EngineGrammar, CancelledInTheMiddle) {
  auto wish = request({Kind::regex, "[a-z]*!"}, 6);
  wish.sampling.logit_bias = {{'!', -1000.f}, {words.end, -1000.f}};
  wish.choices = 2;
  knobs.delay_us = 500;
  for (int after = 1; after <= 12; after += 3) {
    Collector collector(2);
    const RequestId id = engine->submit(wish, collector.sink());
    collector.wait_until([&](const Outcome& seen) {
      return seen.tokens[0].size() >= static_cast<size_t>(after);
    });
    engine->cancel(id, 0);
    collector.wait_until(
        [](const Outcome& seen) { return seen.ends.size() == 1; });
    engine->cancel(id);
    const auto done = collector.wait();
    ASSERT_TRUE(done.done);
    EXPECT_EQ(done.ends.size(), 2u);
    EXPECT_EQ(done.ends[0].reason, Reason::cancelled);
  }
  // The engine may go in the middle of a mask, too.
  Collector collector(2);
  engine->submit(wish, collector.sink());
  collector.wait_until(
      [](const Outcome& seen) { return seen.tokens[0].size() >= 3; });
  engine.reset();
  EXPECT_EQ(collector.wait().error->code, ErrorCode::cancelled);
}

// A state that becomes too complex ends the request, never the constraint.
TEST_F(EngineGrammar, TooComplexIsAFailure) {
  auto wish = request(
      {Kind::lark,
       "start: a\na: (\"x\" | b)+ \"y\"\nb: (\"x\" | a)+ \"z\" | \"x\" b\n"},
      1);
  wish.sampling.temperature = 0;
  wish.sampling.logit_bias = {{'x', 100.f}, {'y', -50.f}, {'z', -50.f}};
  const auto done = run(wish);
  for (const char c : text(done.text())) {
    EXPECT_THAT(std::string("xyz"), testing::HasSubstr(std::string(1, c)));
  }
  EXPECT_TRUE(done.error || done.done);
}

// A call under its grammar, and text behind it.
TEST_F(EngineGrammar, FreeBehindAGrammar) {
  int longer = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    auto wish = request({Kind::regex, "(yes|no)!"}, seed);
    wish.grammar_then_free = true;
    wish.max_tokens = 12;
    const auto done = run(wish);
    ASSERT_TRUE(done.done);
    const std::string answer = text(done.text());
    EXPECT_TRUE(answer.starts_with("yes!") || answer.starts_with("no!"));
    longer += answer.size() > 4;
  }
  EXPECT_GT(longer, 10);
}

TEST_F(EngineGrammar, CachedTurnsGoOnAsBefore) {
  const auto first = run(request({Kind::json_schema, kSchema}, 8));
  auto cold = request({Kind::json_schema, kSchema}, 8);
  cold.use_cache = false;
  EXPECT_EQ(run(cold).text(), first.text());
  EXPECT_EQ(run(request({Kind::json_schema, kSchema}, 8)).text(), first.text());
}

// Taken up at every place, the choice says what it would have said.
TEST_F(EngineGrammar, ResumedChoicesKnowTheirPlace) {
  std::vector<GenerateRequest> wishes;
  wishes.push_back(request({Kind::json_schema, kSchema}, 5));
  wishes.push_back(request({Kind::regex, "(yes|no)!"}, 4));
  wishes.back().grammar_then_free = true;
  wishes.back().max_tokens = 12;
  wishes.push_back(request({Kind::regex, "(yes|no)+!"}, 6));
  wishes.back().grammar_after = {words.call_end};
  wishes.back().sampling.logit_bias = {{words.call_end, 9.f}};
  for (const GenerateRequest& wish : wishes) {
    const auto want = run(wish);
    ASSERT_TRUE(want.done);
    const auto& tokens = want.text();
    ASSERT_GT(tokens.size(), 4u);
    for (size_t k = 0; k <= tokens.size(); ++k) {
      GenerateRequest rest = wish;
      const int answered = static_cast<int>(k);
      rest.resume = Resumption{0, answered, answered};
      rest.max_tokens -= answered;
      rest.prompt.insert(
          rest.prompt.end(), tokens.begin(), tokens.begin() + answered);
      const auto done = run(rest);
      ASSERT_TRUE(done.done) << k;
      EXPECT_EQ(
          done.text(),
          std::vector<int32_t>(tokens.begin() + answered, tokens.end()));
      EXPECT_EQ(done.ends.at(0).reason, want.ends.at(0).reason) << k;
      EXPECT_EQ(done.ends.at(0).end_token, want.ends.at(0).end_token) << k;
    }
  }
}

TEST_F(EngineGrammar, WhatDoesNotFitCannotBeTakenUp) {
  auto wish = request({Kind::regex, "abc"}, 1);
  wish.prompt.push_back('x');
  wish.resume = Resumption{0, 1, 1};
  const auto failed = run(wish);
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->code, ErrorCode::invalid_argument);
  wish.resume = Resumption{0, 1, 2};
  EXPECT_TRUE(run(wish).error) << "more than it answered";
  EXPECT_EQ(text(run(request({Kind::regex, "abc"}, 1)).text()), "abc");
}

TEST(EngineWithoutWords, RefusesGrammars) {
  ToyKnobs knobs;
  EngineSetup setup;
  setup.load = [&]() -> Result<std::unique_ptr<Model>> {
    return std::unique_ptr<Model>(std::make_unique<ToyModel>(knobs));
  };
  auto engine = start_engine(std::move(setup));
  ASSERT_TRUE(engine);
  GenerateRequest wish;
  wish.prompt = {1};
  wish.max_tokens = 3;
  wish.grammar = GrammarSource{};
  Collector collector(1);
  (*engine)->submit(wish, collector.sink());
  const auto failed = collector.wait();
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace rapid
