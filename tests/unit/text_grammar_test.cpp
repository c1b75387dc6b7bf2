#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar_fixture.h"

namespace rapid {
namespace {

using test::allows;
using test::compile;
using test::fits;
using test::fixture;
using test::grammar_ids;
using test::mask;
using test::refusal;
using test::takes;
using Kind = GrammarSource::Kind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

// An unused definition that nothing meets is no mistake; a used one is.
TEST(TextGrammar, DefinitionsThatNothingMeets) {
  const std::string rest = R"("properties":{"a":{"$ref":"#/$defs/n"},"b":
      {"$ref":"#/$defs/m"},"c":{}},"additionalProperties":false,"$defs":{
      "n":{"type":"object","required":["m"],"properties":
        {"m":{"$ref":"#/$defs/m"}}},
      "m":{"type":"integer","minimum":1,"maximum":2,"multipleOf":5}}})";
  const auto grammar = compile(Kind::json_schema, "{" + rest);
  EXPECT_TRUE(fits(grammar, R"({"c": 1})"));
  EXPECT_FALSE(fits(grammar, R"({"b": 5})"));
  EXPECT_FALSE(fits(grammar, R"({"a": {"m": 5}})"));
  EXPECT_THAT(
      refusal(Kind::json_schema, R"({"type":"object","required":["a"],)" + rest)
          .what,
      HasSubstr("nsatisf"));
}

// Where the compiler's own reading is too wide.
TEST(TextGrammar, PatternsAndFormatsAreExact) {
  const auto fits_string = [](const char* rest, const char* text) {
    return fits(
        compile(Kind::json_schema, std::string(R"({"type":"string",)") + rest),
        text);
  };
  const char* quote = R"("pattern":"^[^\"]*$"})";
  EXPECT_TRUE(fits_string(quote, R"("a\\b\n")"));
  EXPECT_FALSE(fits_string(quote, R"("a\"b")"));
  const char* slash = R"("pattern":"^[^/\\\\]+$"})";
  EXPECT_TRUE(fits_string(slash, R"("a\"b")"));
  EXPECT_FALSE(fits_string(slash, R"("a\\b")"));
  EXPECT_FALSE(fits_string(slash, R"("a/b")"));
  EXPECT_TRUE(fits_string(R"("pattern":"^[^\"]{2}x$"})", R"("\n\tx")"));
  const char* key = R"({"type":"object","additionalProperties":false,
                        "patternProperties":{"^[^\"]+$":{}}})";
  EXPECT_TRUE(fits(compile(Kind::json_schema, key), R"({"a\\": 1})"));
  EXPECT_FALSE(fits(compile(Kind::json_schema, key), R"({"a\"": 1})"));
  const char* date = R"("format":"date"})";
  EXPECT_TRUE(fits_string(date, R"("2024-02-29")"));
  EXPECT_TRUE(fits_string(date, R"("2000-02-29")"));
  EXPECT_FALSE(fits_string(date, R"("2023-02-29")"));
  EXPECT_FALSE(fits_string(date, R"("1900-02-29")"));
  EXPECT_FALSE(fits_string(date, R"("2024-04-31")"));
  const char* both = R"("format":"date-time","pattern":"^2",
                        "allOf":[{"minLength":21}]})";
  EXPECT_TRUE(fits_string(both, R"("2024-02-29T23:59:59.5+01:00")"));
  EXPECT_FALSE(fits_string(both, R"("2024-02-29T23:59:60.5+01:00")"));
  EXPECT_FALSE(fits_string(both, R"("1984-02-29T23:59:59.5+01:00")"));
  EXPECT_FALSE(fits_string(both, R"("2024-02-29T23:59:59Z")"));
  EXPECT_FALSE(fits_string(R"("format":"time"})", R"("03:20:60Z")"));
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

TEST(TextGrammar, Regex) {
  const auto grammar = compile(Kind::regex, "(yes|no)[0-9]{1,3}");
  EXPECT_TRUE(fits(grammar, "yes1"));
  EXPECT_TRUE(fits(grammar, "no123"));
  EXPECT_FALSE(fits(grammar, "no"));
  EXPECT_FALSE(fits(grammar, "maybe"));
  GrammarState state(grammar);
  ASSERT_TRUE(takes(state, grammar_ids("no123")));
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
  ASSERT_TRUE(takes(state, grammar_ids("I call <it>.\n")));
  EXPECT_TRUE(state.accepting());
  EXPECT_TRUE(allows(mask(state), words.call));
  EXPECT_FALSE(allows(mask(state), words.call_end));
  ASSERT_TRUE(takes(state, {words.call}));
  EXPECT_FALSE(state.accepting());
  EXPECT_FALSE(allows(mask(state), 'I'));
  ASSERT_TRUE(takes(state, grammar_ids(R"({"x": 12})")));
  EXPECT_TRUE(allows(mask(state), words.call_end));
  ASSERT_TRUE(takes(state, {words.call_end}));
  ASSERT_TRUE(takes(state, grammar_ids("again")));
  ASSERT_TRUE(takes(state, {words.call}));
  EXPECT_FALSE(takes(state, grammar_ids(R"({"y")")));
}

}  // namespace
}  // namespace rapid
