#include <gtest/gtest.h>

#include <string>

#include "formats/coerce.h"
#include "unit/linear_time.h"
#include "unit/random_json.h"

namespace rapid {
namespace {

Json json(std::string_view text) {
  return Json::parse(text);
}

std::string typed(std::string_view value, std::string_view schema) {
  return dump_json(coerce_to_schema(json(value), json(schema)));
}

std::string text(
    std::string_view raw, std::string_view schema, TextRules rules = {}) {
  return dump_json(coerce_text(raw, json(schema), rules));
}

TEST(Coerce, JsonArguments) {
  const char* const cases[][3] = {
      {R"("123")", R"({"type":"string"})", R"("123")"},
      {R"("null")", R"({"type":["string","null"]})", R"("null")"},
      {"123", R"({"type":"string"})", R"("123")"},
      {"true", R"({"type":"string"})", R"("true")"},
      {R"({"a":1})", R"({"type":"string"})", R"({"a":1})"},
      {R"("3")", R"({"type":"integer"})", "3"},
      {R"(" 3.0 ")", R"({"type":"integer"})", "3"},
      {"3.0", R"({"type":"integer"})", "3"},
      {"3.5", R"({"type":"integer"})", "3.5"},
      {"3.0", R"({"type":"number"})", "3.0"},
      {R"("3")", R"({"type":"number"})", "3"},
      {R"("0.5")", R"({"type":"float"})", "0.5"},
      {R"("three")", R"({"type":"integer"})", R"("three")"},
      {R"("123456789012345678901234")",
       R"({"type":"integer"})",
       R"("123456789012345678901234")"},
      {R"("TRUE")", R"({"type":"boolean"})", "true"},
      {R"("False")", R"({"type":"bool"})", "false"},
      {R"("yes")", R"({"type":"boolean"})", R"("yes")"},
      {R"("null")", R"({"type":"integer","nullable":true})", "null"},
      {R"("None")", R"({"type":["integer","null"]})", "null"},
      {R"("null")", R"({"type":"integer"})", R"("null")"},
      {R"("[1, 2]")", R"({"type":"array"})", "[1,2]"},
      {R"("['1', \"2\"]")",
       R"({"type":"array","items":{"type":"integer"}})",
       "[1,2]"},
      {R"("a")", R"({"type":"array","items":{"type":"string"}})", R"("a")"},
      {R"("{\"a\": \"1\"}")",
       R"({"type":"object","properties":{"a":{"type":"integer"}}})",
       R"({"a":1})"},
      {R"(["1",2,"x"])",
       R"({"prefixItems":[{"type":"integer"}],
         "items":{"type":"string"}})",
       R"([1,"2","x"])"},
      {R"({"z":"1","y":"2"})",
       R"({"properties":{"y":{"type":"integer"}},
         "additionalProperties":{"type":"number"}})",
       R"({"z":1,"y":2})"},
      {R"({"z":"1"})",
       R"({"properties":{},"additionalProperties":false})",
       R"({"z":"1"})"},
      {R"("2")", R"({"enum":[1,2]})", "2"},
      {"2", R"({"enum":["1","2"]})", R"("2")"},
      {R"("True")", R"({"enum":[true]})", "true"},
      {R"(" fast\n")", R"({"type":"string","enum":["fast"]})", R"("fast")"},
      {R"("other")", R"({"enum":["fast"]})", R"("other")"},
      {R"("7")", R"({"const":7})", "7"},
      {R"("5")", R"({"anyOf":[{"type":"integer"},{"type":"null"}]})", "5"},
      {R"("5")",
       R"({"anyOf":[{"type":"integer"},{"type":"string"}]})",
       R"("5")"},
      {R"({"k":"b","n":"1"})",
       R"({"oneOf":[{"properties":{"k":{"const":"a"},"n":{"type":"string"}}},
         {"properties":{"k":{"const":"b"},"n":{"type":"integer"}}}]})",
       R"({"k":"b","n":1})"},
      {R"({"a":"1","b":"2"})",
       R"({"allOf":[{"properties":{"a":{"type":"integer"}}},
         {"properties":{"b":{"type":"integer"}}}]})",
       R"({"a":1,"b":2})"},
      {R"({"v":"1","next":{"v":"2","next":null}})",
       R"({"$ref":"#/$defs/no~1de","$defs":{"no/de":{"type":"object",
         "properties":{"v":{"type":"integer"},"next":{"anyOf":[
         {"$ref":"#/$defs/no~1de"},{"type":"null"}]}}}}})",
       R"({"v":1,"next":{"v":2,"next":null}})"},
      {R"("1")",
       R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}})",
       R"("1")"},
      {R"("1")", R"({"$ref":"http://elsewhere"})", R"("1")"},
      {R"("1")", "true", R"("1")"},
      {R"("1")", "{}", R"("1")"},
      {R"("1")", R"({"type":7,"enum":3,"anyOf":{},"allOf":1})", R"("1")"},
  };
  for (const auto& [value, schema, want] : cases) {
    EXPECT_EQ(typed(value, schema), want) << value << " " << schema;
  }
}

TEST(Coerce, Text) {
  const char* const cases[][3] = {
      {"123", R"({"type":"string"})", R"("123")"},
      {" true\n", R"({"type":"string"})", R"(" true\n")"},
      {"null", R"({"type":"string"})", R"("null")"},
      {"Null", R"({"type":["string","null"]})", "null"},
      {"null", R"({"anyOf":[{"type":"string"},{"type":"null"}]})", "null"},
      {"null", "{}", "null"},
      {"null", R"({"type":"integer"})", R"("null")"},
      {"\n3\n", R"({"type":"integer"})", "3"},
      {"1e3", R"({"type":"number"})", "1000.0"},
      {"x", R"({"type":"integer"})", R"("x")"},
      {" x\n", R"({"type":"integer"})", R"(" x\n")"},
      {"TRUE", R"({"type":"boolean"})", "true"},
      {"[1, 'a', None]", R"({"type":"array"})", R"([1,"a",null])"},
      {"{'a': True}", R"({"type":"object"})", R"({"a":true})"},
      {"{\"a\": \"1\"}",
       R"({"type":"object","properties":{"a":{"type":"integer"}}})",
       R"({"a":1})"},
      {"[1, 2", R"({"type":"array"})", "[1,2]"},
      {"{\"a\": 1, \"b\"", R"({"type":"object"})", R"("{\"a\": 1, \"b\"")"},
      {"[a](b)", R"({"type":"array"})", R"x("[a](b)")x"},
      {"5", R"({"type":["string","integer"]})", "5"},
      {"05", R"({"type":["string","integer"]})", R"("05")"},
      {"[1]", R"({"type":["string","array"]})", "[1]"},
      {"\"x\"", R"({"type":"string"})", R"("\"x\"")"},
      {"2", R"({"enum":[1,2,3]})", "2"},
      {"2", R"({"type":"string","enum":["1","2"]})", R"("2")"},
      {"\nfast\n", R"({"type":"string","enum":["fast"]})", R"("fast")"},
      {"3", "{}", "3"},
      {"007", "true", R"("007")"},
      {"12 apples", "{}", R"("12 apples")"},
      {"(1)", "{}", R"x("(1)")x"},
      {"NaN", "{}", R"("NaN")"},
      {"True", "{}", "true"},
      {"None", "{}", "null"},
      {"hello", "{}", R"("hello")"},
      {"\"q\"", "{}", R"("q")"},
      {"'q'", "{}", R"("q")"},
      {"{'a': (1, 2)}", "{}", R"({"a":[1,2]})"},
      {"{not json}", "{}", R"("{not json}")"},
      {"", "{}", R"("")"},
      {"", R"({"type":"integer"})", R"("")"},
      {"123456789012345678901234", "{}", R"("123456789012345678901234")"},
      {"1e999", "{}", R"("1e999")"},
  };
  for (const auto& [raw, schema, want] : cases) {
    EXPECT_EQ(text(raw, schema), want) << raw << " " << schema;
  }
  EXPECT_EQ(
      text("\"a\\nb\"", R"({"type":"string"})", {.unquote = true}),
      R"("a\nb")");
  EXPECT_EQ(
      text("\"a\" b\"", R"({"type":"string"})", {.unquote = true}),
      R"("\"a\" b\"")");
}

TEST(Coerce, FindsParameters) {
  const Json schema = json(
      R"({"properties":{"a":{"type":"string"}},"allOf":[{"$ref":"#/$defs/x"}],
      "$defs":{"x":{"properties":{"b":{"type":"integer"}}}}})");
  ASSERT_NE(parameter_schema(schema, "b"), nullptr);
  EXPECT_EQ(dump_json(*parameter_schema(schema, "b")), R"({"type":"integer"})");
  EXPECT_NE(parameter_schema(schema, "a"), nullptr);
  EXPECT_EQ(parameter_schema(schema, "c"), nullptr);
  EXPECT_EQ(
      coerce_text(R"({"b": "4"})", schema["allOf"][0], schema),
      json(R"({"b":4})"));
}

// A schema that says what `value` is, part by part.
Json schema_of(const Json& value) {
  if (value.is_object()) {
    Json properties = Json::object();
    for (const auto& [key, item] : value.items()) {
      properties[key] = schema_of(item);
    }
    return {{"type", "object"}, {"properties", properties}};
  }
  if (value.is_array()) {
    Json items = Json::array();
    for (const Json& item : value) {
      items.push_back(schema_of(item));
    }
    return {{"type", "array"}, {"prefixItems", items}};
  }
  return {
      {"type",
       value.is_null()             ? "null"
       : value.is_boolean()        ? "boolean"
       : value.is_string()         ? "string"
       : value.is_number_integer() ? "integer"
                                   : "number"}};
}

// All that is no text as text, in one style or another.
Json as_text(const Json& value, RandomJson& random) {
  if (value.is_string() || random.one_in(4)) {
    return value;
  }
  Json inner = value;
  if (value.is_structured()) {
    for (auto& item : inner) {
      item = as_text(item, random);
    }
    if (random.one_in(2)) {
      return inner;
    }
  }
  return random.print(inner, random.style());
}

TEST(Coerce, WhatFitsStaysAndTextIsRead) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    RandomJson random(seed);
    const Json value = random.object(2);
    const Json schema = schema_of(value);
    ASSERT_EQ(coerce_to_schema(value, schema), value) << dump_json(value);
    const Json texts = as_text(value, random);
    ASSERT_EQ(dump_json(coerce_to_schema(texts, schema)), dump_json(value))
        << seed << " " << dump_json(texts);
    for (const auto& [key, item] : value.items()) {
      const std::string raw = item.is_string()
                                  ? item.get<std::string>()
                                  : random.print(item, random.style());
      ASSERT_EQ(coerce_text(raw, schema["properties"][key]), item) << raw;
    }
  }
}

// Any two random documents: nothing throws, no member comes or goes.
TEST(Coerce, AnySchema) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    RandomJson random(seed);
    Json schema = random.object(3);
    for (const char* key :
         {"type",
          "enum",
          "anyOf",
          "allOf",
          "$ref",
          "items",
          "properties",
          "prefixItems",
          "required"}) {
      if (random.one_in(3)) {
        schema[key] = random.value(3);
      }
    }
    const Json value = random.object(3);
    const Json out = coerce_to_schema(value, schema);
    if (!schema.contains("enum")) {
      ASSERT_EQ(out.size(), value.size());
    }
    coerce_text(random.text(), schema);
  }
}

TEST(Coerce, NestedAlternativesEnd) {
  Json schema = json(R"({"$ref":"#/$defs/n0","$defs":{}})");
  for (int n = 0; n < 60; ++n) {
    const Json next = {{"$ref", "#/$defs/n" + std::to_string((n + 1) % 60)}};
    schema["$defs"]["n" + std::to_string(n)] = {
        {"anyOf", {next, next}},
        {"allOf", {next, next}},
        {"properties", {{"a", next}}}};
  }
  Json value = "x";
  for (int n = 0; n < 60; ++n) {
    value = Json{{"a", value}};
  }
  EXPECT_EQ(coerce_to_schema(value, schema), value);  // not in 2^60 steps
}

TEST(Coerce, TimeIsLinear) {
  const Json schema = json(
      R"({"type":"object","properties":{"a":{"type":"array","items":
      {"anyOf":[{"type":"integer"},{"type":"null"}]}}},
      "additionalProperties":{"type":"integer"}})");
  const auto make = [](size_t items) {
    Json value = {{"a", Json::array()}};
    for (size_t n = 0; n < items; ++n) {
      value["a"].push_back(std::to_string(n));
    }
    return value;
  };
  const auto work = [&](const Json& value) {
    const Json out = coerce_text(dump_json(value), schema);
    const Json inner = {{"a", dump_json(value["a"])}};
    EXPECT_EQ(coerce_to_schema(inner, schema), out);
    EXPECT_EQ(out["a"].back(), value["a"].size() - 1);
  };
  EXPECT_TRUE(is_linear(make, work, 2'500));
}

}  // namespace
}  // namespace rapid
