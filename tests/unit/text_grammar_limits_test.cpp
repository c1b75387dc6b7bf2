// Hostile grammars, and what masks cost.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>

#include "grammar_fixture.h"

namespace rapid {
namespace {

using test::allows;
using test::compile;
using test::fixture;
using test::refusal;
using testing::HasSubstr;
using Kind = GrammarSource::Kind;
using Clock = std::chrono::steady_clock;

std::string repeated(std::string_view part, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) {
    out += part;
  }
  return out;
}

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
           {Kind::regex, "a" + repeated("{2}", 30'000)},
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

// 100 KB of openers, closed or not, in all that a client can send.
TEST(GrammarLimits, NestingIsRefusedInPlainWords) {
  struct Nested {
    Kind kind;
    std::string open, middle, close;
  };
  for (const Nested& one : std::initializer_list<Nested>{
           {Kind::regex, "(", "a", ")"},
           {Kind::regex, "(?:a|", "b", ")"},
           {Kind::regex, "(a*", "b", ")*"},
           {Kind::regex, "[", "a", "]"},
           {Kind::regex, "[a&&[^", "b", "]]"},
           {Kind::lark, "(", "\"a\"", ")"},
           {Kind::lark, "[", "\"a\"", "]"},
           {Kind::lark, "/(", "a", ")/"},
           {Kind::lark, "/(/", "", ""},
           {Kind::json_schema, R"({"items":)", "{}", "}"},
           {Kind::json_schema, R"({"properties":{"a":)", "{}", "}}"},
           {Kind::json_schema, R"({"anyOf":[)", "{}", "]}"},
           {Kind::json_schema, R"({"not":)", "{}", "}"},
           {Kind::json_schema, "[", "", "]"},
           {Kind::json_schema, R"({"x":)", "1", "}"}}) {
    for (const bool closed : {true, false}) {
      const size_t level = one.open.size() + one.close.size();
      const int times = static_cast<int>(100'000 / level);
      std::string text = repeated(one.open, times) + one.middle;
      text += closed ? repeated(one.close, times) : "";
      text.insert(0, one.kind == Kind::lark ? "start: " : "");
      SCOPED_TRACE(text.substr(0, 40));
      const auto begin = Clock::now();
      const Error error = refusal(one.kind, std::move(text));
      EXPECT_EQ(error.code, ErrorCode::invalid_argument);
      EXPECT_THAT(error.what, HasSubstr("cannot be compiled: "));
      EXPECT_THAT(
          error.what,
          testing::ContainsRegex("nested|unclosed|recursion|not JSON"));
      EXPECT_LT(error.what.size(), 300u);
      EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
    }
  }
}

// The same in a pattern: an error, or the pattern is left out and named.
TEST(GrammarLimits, NestingInAPattern) {
  for (const char* open : {"(", "[", "(?:a|"}) {
    for (const bool closed : {true, false}) {
      const std::string end = *open == '[' ? "]" : ")";
      const std::string text =
          repeated(open, 20'000) + "a" + (closed ? repeated(end, 20'000) : "");
      Json schema = {{"type", "string"}, {"pattern", text}};
      GrammarReport report;
      const auto made = Grammar::compile(
          fixture().vocabulary,
          {Kind::json_schema, dump_json(schema)},
          &report);
      ASSERT_TRUE(made) << made.error().what;
      EXPECT_THAT(report.relaxed, testing::ElementsAre("$: pattern"));
    }
  }
}

// What compiles may still grow too complex on its way: an error that says
// so, then and later, and neither an end nor a crash.
TEST(GrammarLimits, TooComplexOnTheWay) {
  const auto grammar =
      compile(Kind::regex, "(a|b|,)*a(a|b|,){18}(a|b|,)*b(a|b|,){18}");
  ASSERT_TRUE(grammar);
  GrammarState state(grammar);
  GrammarState other(grammar);
  GrammarState twin = state.clone();
  std::vector<uint32_t> bits(fixture().vocabulary->mask_words());
  std::mt19937 random(5);
  Status done;
  int steps = 0;
  while (done && steps < 200'000) {
    done = state.fill_mask(bits);
    if (done) {
      done = state.accept("ab,"[random() % 3]);
    }
    ++steps;
  }
  ASSERT_FALSE(done) << steps;
  EXPECT_THAT(done.error().what, HasSubstr("too many states"));
  EXPECT_EQ(done.error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(state.fill_mask(bits));
  EXPECT_FALSE(state.accept('a'));
  EXPECT_FALSE(state.accept(fixture().words.end));
  EXPECT_FALSE(state.accepting());
  EXPECT_FALSE(state.stopped());
  EXPECT_FALSE(state.rollback(1));
  EXPECT_TRUE(state.forced().empty());
  EXPECT_FALSE(state.clone().fill_mask(bits));
  // Another request has caches of its own.
  EXPECT_TRUE(other.fill_mask(bits));
  EXPECT_TRUE(other.accept('a'));
}

}  // namespace
}  // namespace rapid
