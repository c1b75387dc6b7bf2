// Hostile grammars, and what masks cost.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "grammar_fixture.h"

namespace rapid {
namespace {

using test::allows;
using test::compile;
using test::fixture;
using test::mask;
using Kind = GrammarSource::Kind;
using Clock = std::chrono::steady_clock;

TEST(GrammarLimits, HostileSourcesEnd) {
  std::string deep;
  for (int i = 0; i < 200; ++i) {
    deep += R"({"items":)";
  }
  std::string chain = "start: a0\n";
  std::string defs = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 15000; ++i) {
    chain += fmt::format("a{}: a{}\n", i, i + 1);
  }
  for (int i = 0; i < 7500; ++i) {
    const std::string next = std::to_string(i + 1);
    defs +=
        "\"d" + std::to_string(i) + R"(":{"$ref":"#/$defs/d)" + next + R"("},)";
  }
  chain += "a15000: \"x\"\n";
  defs += R"("d7500":{}}})";
  for (const auto& [kind, text] :
       std::initializer_list<std::pair<Kind, std::string>>{
           {Kind::regex, "((((a{100}){100}){100}){100})"},
           {Kind::regex, "(a|b|ab)*c{1,100000}"},
           {Kind::regex, "(.*a){60}.{60}b(.*c){60}"},
           {Kind::regex, std::string(100'000, '(')},
           {Kind::regex, std::string(300'000, 'a')},
           {Kind::lark, "start: " + std::string(100'000, '(')},
           {Kind::lark, "start: \"a\"" + std::string(200'000, '+')},
           {Kind::lark, "start: \"a\"{1,1000000000}"},
           {Kind::lark, "start: start start | \"\""},
           {Kind::lark, chain},
           {Kind::json_schema, defs},
           {Kind::json_schema, deep},
           {Kind::json_schema, R"({"type":"string","minLength":1000000000})"},
           {Kind::json_schema, R"({"type":"array","minItems":1000000000})"},
           {Kind::json_schema,
            R"({"type":"string","pattern":"((a{100}){100}){100}"})"}}) {
    const auto begin = Clock::now();
    auto made = Grammar::compile(fixture().vocabulary, {kind, text}, nullptr);
    if (made) {
      // Then its masks are small or an error.
      GrammarState state(*made);
      std::vector<uint32_t> bits(fixture().vocabulary->mask_words());
      for (int i = 0; i < 50 && state.fill_mask(bits); ++i) {
        if (!state.accept('a')) {
          break;
        }
      }
    } else {
      EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
      EXPECT_TRUE(text != chain && text != defs) << made.error().what;
      EXPECT_LT(made.error().what.size(), 1000u);
    }
    const std::chrono::duration<double> took = Clock::now() - begin;
    EXPECT_LT(took.count(), 15) << text.substr(0, 60);
  }
}

// Any way to cut a document into tokens is allowed, with 150,000 of them, and
// a mask takes microseconds (printed, as machines differ).
TEST(GrammarLimits, LargeVocabulary) {
  const auto begin = Clock::now();
  const test::Words words = test::byte_words(150'000);
  const auto vocabulary = test::build_words(words);
  const std::chrono::duration<double> built = Clock::now() - begin;
  const Tokenizer& tokenizer = vocabulary->tokenizer();
  std::map<std::string, int32_t> ids;
  for (int32_t id = 0; id < tokenizer.size(); ++id) {
    if (!vocabulary->is_marker(id)) {
      ids[vocabulary->token_bytes(id)] = id;
    }
  }
  auto grammar = Grammar::compile(vocabulary, {Kind::json_object, ""}, nullptr);
  ASSERT_TRUE(grammar) << grammar.error().what;
  std::string text = "{\"text\": \"";
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    text += "etaoin shrdlu,:;{}"[random() % 18];
  }
  text += "\",\n \"list\": [1.5, true, {\"a\": null}]}";
  GrammarState state(*grammar);
  std::vector<uint32_t> bits(vocabulary->mask_words());
  std::vector<double> micros;
  for (size_t at = 0; at < text.size();) {
    const auto start = Clock::now();
    ASSERT_TRUE(state.fill_mask(bits));
    micros.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - start)
            .count());
    size_t length = 1 + random() % 9;
    while (!ids.contains(text.substr(at, length))) {
      --length;
    }
    const int32_t id = ids[text.substr(at, length)];
    at += std::min(length, text.size() - at);
    ASSERT_TRUE(allows(bits, id)) << text.substr(0, at);
    ASSERT_TRUE(state.accept(id));
  }
  EXPECT_TRUE(state.stopped());
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double q) { return micros[q * (micros.size() - 1)]; };
  printf(
      "vocabulary %.2f s; masks: %zu, p50 %.0f us, p90 %.0f, p99 %.0f, max "
      "%.0f\n",
      built.count(),
      micros.size(),
      at(0.5),
      at(0.9),
      at(0.99),
      micros.back());
}

}  // namespace
}  // namespace rapid
