// Where a text stands in its grammar: ends, rollback, clones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "grammar_fixture.h"

namespace rapid {
namespace {

using test::allows;
using test::compile;
using test::fixture;
using test::grammar_ids;
using test::mask;
using test::takes;
using Kind = GrammarSource::Kind;
using testing::HasSubstr;

// Allowed exactly where the text may end; forced once nothing else may follow.
TEST(GrammarStates, EndTokens) {
  const test::Words& words = fixture().words;
  const auto tokenizer = Tokenizer::from_vocabulary(words.vocabulary);
  const std::vector<int32_t> ends = {words.end, words.call_end};
  const auto vocabulary =
      GrammarVocabulary::build(*tokenizer, ends, (*tokenizer)->size() + 40);
  ASSERT_TRUE(vocabulary);
  const auto grammar =
      Grammar::compile(*vocabulary, {Kind::regex, "ab+c?"}, nullptr);
  ASSERT_TRUE(grammar);
  for (const int32_t end : ends) {
    GrammarState state(*grammar);
    const auto after = [&](std::initializer_list<int32_t> tokens) {
      for (const int32_t token : tokens) {
        EXPECT_TRUE(state.accept(token)) << token;
      }
      const auto bits = mask(state);
      for (const int32_t each : ends) {
        EXPECT_EQ(allows(bits, each), state.accepting());
      }
      return state.accepting();
    };
    EXPECT_FALSE(after({}));
    EXPECT_FALSE(state.accept(end));
    EXPECT_FALSE(after({'a'}));
    EXPECT_FALSE(state.accept(end));
    EXPECT_TRUE(after({'b'}));
    EXPECT_FALSE(state.stopped());
    EXPECT_TRUE(after({end}));
    EXPECT_TRUE(state.stopped());
    EXPECT_FALSE(state.accept('b'));
    EXPECT_TRUE(after({end}));
    ASSERT_TRUE(state.rollback(2));
    EXPECT_FALSE(state.stopped());
    EXPECT_TRUE(after({'b', 'c'}));
    // Nothing but an end: the mask has no other, and it is accepted.
    EXPECT_TRUE(state.stopped());
    const auto bits = mask(state);
    for (int32_t id = 0; id < (*vocabulary)->rows(); ++id) {
      const bool is_end = id == ends[0] || id == ends[1];
      EXPECT_EQ(allows(bits, id), is_end);
      EXPECT_EQ(static_cast<bool>(state.clone().accept(id)), is_end);
    }
    EXPECT_TRUE(after({end}));
    ASSERT_TRUE(state.rollback(5));
    EXPECT_FALSE(after({'a'}));
  }
}

// Rows of a padded model, and the bits that fill up a mask's last word.
TEST(GrammarStates, WhatIsNoTokenIsNeverAllowed) {
  const GrammarVocabulary& vocabulary = *fixture().vocabulary;
  const int32_t tokens = vocabulary.tokenizer().size();
  ASSERT_LT(tokens, vocabulary.rows());
  ASSERT_NE(vocabulary.rows() % 32, 0);
  for (const auto& [kind, text] :
       std::initializer_list<std::pair<Kind, const char*>>{
           {Kind::regex, "(?s:.*)"},
           {Kind::json_object, ""},
           {Kind::lark, "start: (<tool_call> | /(?s:.*)/)*"}}) {
    GrammarState state(compile(kind, text));
    for (int step = 0; step < 3; ++step) {
      std::vector<uint32_t> bits(vocabulary.mask_words() + 2, 0xFFFFFFFF);
      ASSERT_TRUE(state.fill_mask(bits));
      for (int32_t id = tokens; id < static_cast<int32_t>(bits.size() * 32);
           ++id) {
        EXPECT_FALSE(allows(bits, id)) << id;
        EXPECT_FALSE(state.accept(id)) << id;
      }
      EXPECT_FALSE(state.accept(-1));
      // None of that broke it.
      EXPECT_TRUE(takes(state, grammar_ids(step == 0 ? "{" : " ")));
    }
  }
}

TEST(GrammarStates, RollbackIsReplay) {
  const auto grammar = compile(Kind::json_object, "");
  const auto tokens = grammar_ids(R"({"name": [true, "na{\""], "b": 1.5})");
  for (size_t back = 0; back <= tokens.size(); ++back) {
    GrammarState state(grammar);
    ASSERT_TRUE(takes(state, tokens));
    ASSERT_TRUE(state.stopped());
    ASSERT_TRUE(state.rollback(static_cast<int>(back)));
    GrammarState replayed(grammar);
    const auto kept = std::span(tokens).first(tokens.size() - back);
    ASSERT_TRUE(takes(replayed, {kept.begin(), kept.end()}));
    EXPECT_EQ(state.accepting(), replayed.accepting());
    EXPECT_EQ(state.stopped(), replayed.stopped());
    EXPECT_EQ(mask(state), mask(replayed)) << back;
    const auto rest = std::span(tokens).last(back);
    EXPECT_TRUE(takes(state, {rest.begin(), rest.end()}));
  }
  GrammarState state(grammar);
  EXPECT_FALSE(state.rollback(1));
}

// An error, and the state is what it was.
TEST(GrammarStates, RollbackOfMoreThanThereIs) {
  GrammarState state(compile(Kind::regex, "a(b+|c+)d"));
  for (const int tokens : {0, 1, 2, 3, 4}) {
    const auto before = mask(state);
    const Status done = state.rollback(tokens + 1);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(done.error().what, HasSubstr("to take back of"));
    EXPECT_FALSE(state.rollback(1'000'000'000));
    EXPECT_EQ(mask(state), before);
    if (tokens < 4) {
      ASSERT_TRUE(state.accept("abbd"[tokens]));
    }
  }
  ASSERT_TRUE(state.rollback(4));
  EXPECT_TRUE(takes(state, grammar_ids("accd")));
}

TEST(GrammarStates, ClonesGoTheirOwnWay) {
  const auto grammar = compile(Kind::regex, "a(b+|c+)d");
  GrammarState first(grammar);
  ASSERT_TRUE(takes(first, grammar_ids("a")));
  GrammarState second = first.clone();
  ASSERT_TRUE(takes(first, grammar_ids("bb")));
  ASSERT_TRUE(takes(second, grammar_ids("c")));
  EXPECT_FALSE(allows(mask(first), 'c'));
  EXPECT_TRUE(allows(mask(second), 'c'));
  EXPECT_TRUE(takes(first, grammar_ids("d")));
  EXPECT_TRUE(first.stopped());
  EXPECT_FALSE(second.stopped());
}

// Eight rows, each on a thread: their lock is never held between calls, and
// what one makes of the caches changes no other's mask.
TEST(GrammarStates, ClonesOnThreads) {
  const auto grammar = compile(Kind::json_object, "");
  GrammarState root(grammar);
  const std::string start = R"({"a": [")";
  ASSERT_TRUE(takes(root, grammar_ids(start)));
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int row = 0; row < 8; ++row) {
    threads.emplace_back([&, row, state = root.clone()]() mutable {
      GrammarState alone(grammar);
      bool good = true;
      for (const char c : start) {
        good = good && alone.accept(c);
      }
      std::vector<uint32_t> bits(fixture().vocabulary->mask_words());
      std::vector<uint32_t> expected(bits.size());
      const std::string text = R"(x", {"b": [1, -2.5e3, true]}, null, "\u00e9)";
      for (size_t n = 0; n < 20 * text.size() && good; ++n) {
        const char c = row == 0 ? 'x' : text[n % text.size()];
        good = state.fill_mask(bits) && alone.fill_mask(expected) &&
               bits == expected && state.accept(c) && alone.accept(c);
      }
      right += good;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(right, 8);
}

TEST(GrammarStates, ForcedTokensMayFollow) {
  const auto grammar = compile(Kind::regex, "begin (one|two)");
  GrammarState state(grammar);
  const auto forced = state.forced();
  ASSERT_FALSE(forced.empty());
  EXPECT_EQ(
      fixture().vocabulary->tokenizer().decode(forced).substr(0, 5), "begin");
  EXPECT_TRUE(takes(state, forced));
}

}  // namespace
}  // namespace rapid
