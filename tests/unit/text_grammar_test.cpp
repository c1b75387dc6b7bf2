#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "grammar_words.h"
#include "text/grammar.h"

namespace rapid {
namespace {

using Kind = GrammarSource::Kind;
using Clock = std::chrono::steady_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Fixture {
  test::Words words = test::byte_words();
  std::shared_ptr<const GrammarVocabulary> vocabulary =
      test::build_words(words, 40);
};

const Fixture& fixture() {
  static const Fixture made;
  return made;
}

std::shared_ptr<const Grammar> compile(
    Kind kind, std::string text, GrammarReport* report = nullptr) {
  auto made =
      Grammar::compile(fixture().vocabulary, {kind, std::move(text)}, report);
  EXPECT_TRUE(made) << made.error().what;
  return made ? *made : nullptr;
}

Error refusal(Kind kind, std::string text) {
  auto made =
      Grammar::compile(fixture().vocabulary, {kind, std::move(text)}, nullptr);
  EXPECT_FALSE(made);
  return made ? Error{} : made.error();
}

std::vector<uint32_t> mask(GrammarState& state) {
  std::vector<uint32_t> bits(fixture().vocabulary->mask_words(), 0xFFFFFFFF);
  const Status filled = state.fill_mask(bits);
  EXPECT_TRUE(filled) << filled.error().what;
  return bits;
}

bool allows(const std::vector<uint32_t>& bits, int32_t token) {
  return (bits[token / 32] >> (token % 32) & 1) != 0;
}

std::vector<int32_t> encode(const std::string& text) {
  return fixture().vocabulary->tokenizer().encode(
      text, {.parse_special = false});
}

// Every token allowed by its mask, an end token exactly where it may end.
bool takes(GrammarState& state, const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) {
    const auto bits = mask(state);
    EXPECT_EQ(allows(bits, fixture().words.end), state.accepting());
    if (!allows(bits, token)) {
      EXPECT_FALSE(state.accept(token)) << "the mask refused " << token;
      return false;
    }
    const Status accepted = state.accept(token);
    EXPECT_TRUE(accepted) << accepted.error().what;
  }
  return true;
}

bool fits(const std::shared_ptr<const Grammar>& grammar, const char* text) {
  if (!grammar) {
    return false;
  }
  GrammarState state(grammar);
  return takes(state, encode(text)) && state.accepting();
}

TEST(TextGrammar, BytesAreThoseOfTheTokenizer) {
  const auto& [words, vocabulary] = fixture();
  const Tokenizer& tokenizer = vocabulary->tokenizer();
  for (int32_t id = 0; id < tokenizer.size(); ++id) {
    const std::string bytes = tokenizer.token_bytes(id);
    if (bytes.find('\xFF') == std::string::npos) {
      EXPECT_EQ(vocabulary->token_bytes(id), bytes) << id;
    }
  }
  EXPECT_EQ(vocabulary->token_bytes(255), "");
  EXPECT_EQ(vocabulary->token_bytes(tokenizer.size()), "");
  EXPECT_TRUE(vocabulary->is_marker(words.end));
  EXPECT_TRUE(vocabulary->is_marker(words.call));
  EXPECT_FALSE(vocabulary->is_marker('<'));
}

TEST(TextGrammar, VocabularyErrors) {
  const auto tokenizer = Tokenizer::from_vocabulary(fixture().words.vocabulary);
  const std::vector<int32_t> ends = {fixture().words.end};
  EXPECT_FALSE(GrammarVocabulary::build(*tokenizer, {}, 1000));
  EXPECT_FALSE(GrammarVocabulary::build(*tokenizer, ends, 10));
  const std::vector<int32_t> wrong = {100'000};
  EXPECT_FALSE(GrammarVocabulary::build(*tokenizer, wrong, 1000));
  const std::vector<int32_t> negative = {-1};
  EXPECT_FALSE(GrammarVocabulary::build(*tokenizer, negative, 1000));
}

TEST(TextGrammar, JsonObject) {
  const auto grammar = compile(Kind::json_object, "");
  EXPECT_TRUE(fits(grammar, "{}"));
  EXPECT_TRUE(fits(grammar, R"({"a": 1})"));
  EXPECT_TRUE(fits(grammar, R"({"a":[1,-2.5e3,true,null,"x"],"b":{"c":{}}})"));
  EXPECT_TRUE(
      fits(grammar, "{\n  \"a\": {\n    \"b\": [\n      1\n    ]\n  }\n}"));
  EXPECT_TRUE(fits(grammar, "{\"\xC3\xA9\": \"\\u00dc \\ud83d\\ude00 \\n\"}"));
  EXPECT_TRUE(fits(grammar, R"({"a": "<tool_call>"})"));
  EXPECT_FALSE(fits(grammar, "[1]"));
  EXPECT_FALSE(fits(grammar, R"({"a": 01})"));
  EXPECT_FALSE(fits(grammar, R"({"a": 1)"));
  EXPECT_FALSE(fits(grammar, R"({'a': 1})"));
  // Whitespace ends some time.
  EXPECT_FALSE(fits(grammar, ("{" + std::string(20, ' ') + "}").c_str()));
  EXPECT_FALSE(fits(grammar, "{\n\n\n}"));
}

TEST(TextGrammar, JsonSchema) {
  const auto grammar = compile(Kind::json_schema, R"({
    "type": "object",
    "properties": {
      "name": {"type": "string", "minLength": 2, "maxLength": 5},
      "age": {"type": "integer", "minimum": 0, "maximum": 150},
      "kind": {"enum": ["cat", "dog"]},
      "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"},
               "maxItems": 2}
    },
    "required": ["name", "kind"],
    "additionalProperties": false,
    "$defs": {"tag": {"anyOf": [{"type": "boolean"}, {"const": "x"}]}}
  })");
  EXPECT_TRUE(fits(grammar, R"({"name": "Bo", "kind": "cat"})"));
  EXPECT_TRUE(fits(
      grammar,
      R"({"name":"\u00dcrsel","age":99,"kind":"dog","tags":[true,"x"]})"));
  EXPECT_FALSE(fits(grammar, R"({"name": "B", "kind": "cat"})"));
  EXPECT_FALSE(fits(grammar, R"({"name": "Bonobo", "kind": "cat"})"));
  EXPECT_FALSE(fits(grammar, R"({"name": "Bo", "age": 151, "kind": "cat"})"));
  EXPECT_FALSE(fits(grammar, R"({"name": "Bo", "kind": "cow"})"));
  EXPECT_FALSE(fits(grammar, R"({"name": "Bo"})"));
  EXPECT_FALSE(fits(grammar, R"({"name": "Bo", "kind": "cat", "x": 1})"));
  EXPECT_FALSE(
      fits(grammar, R"({"name":"Bo","kind":"cat","tags":[true,"x","x"]})"));
}

TEST(TextGrammar, BooleanSchemas) {
  EXPECT_TRUE(fits(compile(Kind::json_schema, "true"), "[1, {}]"));
  EXPECT_THAT(refusal(Kind::json_schema, "false").what, HasSubstr("nsatisf"));
}

std::vector<std::string> relaxed(const std::string& schema) {
  GrammarReport report;
  compile(Kind::json_schema, schema, &report);
  return report.relaxed;
}

TEST(TextGrammar, KeywordsTheCompilerLacksAreNamed) {
  EXPECT_THAT(relaxed(R"({"type": "object"})"), IsEmpty());
  EXPECT_THAT(
      relaxed(R"({"type": "object", "properties": {
        "a": {"type": "array", "uniqueItems": true, "contains": {}},
        "b": {"type": "array", "uniqueItems": false}}})"),
      ElementsAre("properties.a: contains", "properties.a: uniqueItems"));
  EXPECT_THAT(
      relaxed(R"({"properties": {
        "a": {"type": "string", "format": "no-such"},
        "b": {"type": "string", "format": "date"},
        "c": {"type": "string", "pattern": "^(?!x)y"}}})"),
      ElementsAre("properties.a: format", "properties.c: pattern"));
  EXPECT_THAT(
      relaxed(R"({"if": {"required": ["a"]}, "then": {"required": ["b"]},
                  "properties": {"a": {}, "b": {}}})"),
      ElementsAre("$: if", "$: then"));
  EXPECT_THAT(
      relaxed(R"({"$ref": "https://example.org/schema.json"})"),
      ElementsAre("$: $ref"));
}

// What is not named still holds.
TEST(TextGrammar, RelaxedThereOnly) {
  GrammarReport report;
  const auto grammar = compile(
      Kind::json_schema,
      R"({"type": "object", "additionalProperties": false, "properties": {
        "a": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "b": {"type": "string", "format": "date"},
        "c": {"type": "string", "format": "no-such", "maxLength": 2}}})",
      &report);
  EXPECT_THAT(
      report.relaxed,
      ElementsAre("properties.a: oneOf", "properties.c: format"));
  EXPECT_TRUE(fits(grammar, R"({"a": 1})"));
  EXPECT_TRUE(fits(grammar, R"({"a": 1.5, "b": "2026-01-31", "c": "zz"})"));
  EXPECT_FALSE(fits(grammar, R"({"a": "1"})"));
  EXPECT_FALSE(fits(grammar, R"({"b": "2026-02-31"})"));
  EXPECT_FALSE(fits(grammar, R"({"c": "zzz"})"));
}

TEST(TextGrammar, ReferencesWithEscapes) {
  const auto grammar = compile(
      Kind::json_schema,
      R"({"$ref": "#/definitions/a~1b%20c",
          "definitions": {"a/b c": {"type": "array", "items":
            {"$ref": "#/definitions/a~1b%20c"}}}})");
  EXPECT_TRUE(fits(grammar, "[[], [[]]]"));
  EXPECT_FALSE(fits(grammar, "[1]"));
}

TEST(TextGrammar, WhatCannotBeCompiledIsAnError) {
  for (const auto& [kind, text] :
       std::initializer_list<std::pair<Kind, const char*>>{
           {Kind::json_schema, R"({"type": "strnig"})"},
           {Kind::json_schema, R"({"$ref": "#/$defs/none"})"},
           {Kind::json_schema, R"({"type": "integer", "minimum": 2,
                                   "maximum": 1})"},
           {Kind::json_schema, R"({"type": )"},
           {Kind::json_schema, "[]"},
           {Kind::json_schema, R"({"type": "string", "minLength": "x"})"},
           {Kind::regex, "(a"},
           {Kind::regex, "(?=a)b"},
           {Kind::lark, "start: nothing"},
           {Kind::lark, "start: <no_such_token>"},
           {Kind::lark, ""}}) {
    const Error error = refusal(kind, text);
    EXPECT_EQ(error.code, ErrorCode::invalid_argument) << text;
    EXPECT_THAT(error.what, HasSubstr("cannot be compiled")) << text;
    EXPECT_LT(error.what.size(), 1000u) << error.what;
  }
}

TEST(TextGrammar, HostileSourcesEnd) {
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

TEST(TextGrammar, Regex) {
  const auto grammar = compile(Kind::regex, "(yes|no)[0-9]{1,3}");
  EXPECT_TRUE(fits(grammar, "yes1"));
  EXPECT_TRUE(fits(grammar, "no123"));
  EXPECT_FALSE(fits(grammar, "no"));
  EXPECT_FALSE(fits(grammar, "maybe"));
  GrammarState state(grammar);
  ASSERT_TRUE(takes(state, encode("no123")));
  EXPECT_TRUE(state.stopped());
  EXPECT_FALSE(state.accept('4'));
  const auto bits = mask(state);
  for (int32_t id = 0; id < fixture().vocabulary->rows(); ++id) {
    EXPECT_EQ(allows(bits, id), id == fixture().words.end);
  }
}

TEST(TextGrammar, LarkWithMarkersAndSchema) {
  const test::Words& words = fixture().words;
  const auto inner = relax_schema(Json::parse(
      R"({"type": "object", "properties": {"x": {"type": "integer",
          "not": {"const": 3}}}, "required": ["x"],
          "additionalProperties": false})"));
  ASSERT_TRUE(inner) << inner.error().what;
  EXPECT_THAT(inner->relaxed, ElementsAre("properties.x: not"));
  const auto grammar = compile(
      Kind::lark,
      "start: TEXT (call TEXT)*\n"
      "call: <tool_call> body </tool_call>\n"
      "TEXT: /(?s:.*)/\n"
      "body: %json " +
          dump_json(inner->schema));
  GrammarState state(grammar);
  ASSERT_TRUE(takes(state, encode("I call <it>.\n")));
  EXPECT_TRUE(state.accepting());
  EXPECT_TRUE(allows(mask(state), words.call));
  EXPECT_FALSE(allows(mask(state), words.call_end));
  ASSERT_TRUE(takes(state, {words.call}));
  EXPECT_FALSE(state.accepting());
  EXPECT_FALSE(allows(mask(state), 'I'));
  ASSERT_TRUE(takes(state, encode(R"({"x": 12})")));
  EXPECT_TRUE(allows(mask(state), words.call_end));
  ASSERT_TRUE(takes(state, {words.call_end}));
  ASSERT_TRUE(takes(state, encode("again")));
  ASSERT_TRUE(takes(state, {words.call}));
  EXPECT_FALSE(takes(state, encode(R"({"y")")));
}

TEST(TextGrammar, RollbackIsReplay) {
  const auto grammar = compile(Kind::json_object, "");
  const auto tokens = encode(R"({"name": [true, "na{\""], "b": 1.5})");
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

TEST(TextGrammar, ClonesGoTheirOwnWay) {
  const auto grammar = compile(Kind::regex, "a(b+|c+)d");
  GrammarState first(grammar);
  ASSERT_TRUE(takes(first, encode("a")));
  GrammarState second = first.clone();
  ASSERT_TRUE(takes(first, encode("bb")));
  ASSERT_TRUE(takes(second, encode("c")));
  EXPECT_FALSE(allows(mask(first), 'c'));
  EXPECT_TRUE(allows(mask(second), 'c'));
  EXPECT_TRUE(takes(first, encode("d")));
  EXPECT_TRUE(first.stopped());
  EXPECT_FALSE(second.stopped());
  // On threads, too.
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([state = second.clone(), &right]() mutable {
      std::vector<uint32_t> bits(fixture().vocabulary->mask_words());
      bool good = true;
      for (int n = 0; n < 200; ++n) {
        good = good && state.fill_mask(bits) && state.accept('c');
      }
      right += good && state.accept('d') && state.stopped();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(right, 4);
}

TEST(TextGrammar, ForcedTokensMayFollow) {
  const auto grammar = compile(Kind::regex, "begin (one|two)");
  GrammarState state(grammar);
  const auto forced = state.forced();
  ASSERT_FALSE(forced.empty());
  EXPECT_EQ(
      fixture().vocabulary->tokenizer().decode(forced).substr(0, 5), "begin");
  EXPECT_TRUE(takes(state, forced));
}

// Any way to cut a document into tokens is allowed, with 150,000 of them, and
// a mask takes microseconds (printed, as machines differ).
TEST(TextGrammar, LargeVocabulary) {
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
