#include <gtest/gtest.h>

#include <string>

#include "formats/loose_json.h"
#include "unit/linear_time.h"
#include "unit/random_json.h"

namespace rapid {
namespace {

// The value of `text` as compact JSON, with its error in place of a failure.
std::string read(std::string_view text, const LooseOptions& options = {}) {
  const auto loose = parse_loose_json(text, options);
  return loose ? dump_json(loose->value) : "! " + loose.error().what;
}

TEST(LooseJson, RepairsWhatModelsBreak) {
  const std::pair<const char*, const char*> cases[] = {
      {"{'a': 'it\\'s', \"b\": \"x\"}", R"({"a":"it's","b":"x"})"},
      {"{a: 1, b_c: [1, 2,],}", R"({"a":1,"b_c":[1,2]})"},
      {"{\"a\": 1 \"b\": 2}", R"({"a":1,"b":2})"},
      {"{\"a\": \"x\" \"b\": \"y\"}", R"({"a":"x","b":"y"})"},
      {"[1 2 \"x\" \"y\"]", R"([1,2,"x","y"])"},
      {"{'a': True, 'b': None, 'c': False}",
       R"({"a":true,"b":null,"c":false})"},
      {"[NaN, -Infinity, undefined]", "[null,null,null]"},
      {"{\"a\": \"x\ny\tz\"}", R"({"a":"x\ny\tz"})"},
      {R"({"a": "\d+ \' \w"})", R"({"a":"\\d+ ' \\w"})"},
      {R"({"a": "\ud83d\ude00 \ud83d \u12"})", "{\"a\":\"😀 \uFFFD \\\\u12\"}"},
      {R"({"a": "\u00e9"})", "{\"a\":\"é\"}"},
      {R"({'a': '\x1b[3m'})", "{\"a\":\"\\u001b[3m\"}"},
      {"{path: /a/b.txt, n: 3, s: 3 apples}",
       R"({"path":"/a/b.txt","n":3,"s":"3 apples"})"},
      {"{q: hello, world, n: 1}", R"({"q":"hello, world","n":1})"},
      {"{url: http://x.y/z, t: a {b, c} d}",
       R"({"url":"http://x.y/z","t":"a {b, c} d"})"},
      {"{\"a\": 1, // one\n # two\n \"b\": /* x */ 2}", R"({"a":1,"b":2})"},
      {"{\"a\": \"# no // comment\"}", R"({"a":"# no // comment"})"},
      {"{\"a\": {\"b\": [1, {\"c\": 2", R"({"a":{"b":[1,{"c":2}]}})"},
      {"{\"a\": [1, 2}", R"({"a":[1,2]})"},
      {"{\"a\": 1]}", R"({"a":1})"},
      {"{\"cmd\": \"echo \"hi\" there\", \"n\": 1}",
       R"({"cmd":"echo \"hi\" there","n":1})"},
      {"{\"cmd\": \"say \"a, b\", ok\", \"n\": 1}",
       R"({"cmd":"say \"a, b\", ok","n":1})"},
      {"{'text': 'it's here'}", R"({"text":"it's here"})"},
      {"{\"code\": \"\"\"x = \"1\"\n\"\"\", \"n\": 1}",
       R"({"code":"x = \"1\"\n","n":1})"},
      {"{\"a\" = 1, \"b\" => 2}", R"({"a":1,"b":2})"},
      {"{{\"a\": 1}}", R"({"a":1})"},
      {"{1: 'x', 'y': (1, 2), 'z': {1, 2}, 'e': ()}",
       R"({"1":"x","y":[1,2],"z":[1,2],"e":[]})"},
      {"[(1), (1,), +1, .5, 1., 1_000, 0x1F, 007]",
       R"([1,[1],1,0.5,1.0,1000,31,"007"])"},
      {"{\"a\": 1, \"b\": 2, \"a\": 3}", R"({"a":3,"b":2})"},
      {"{\"a\": , \"b\": 2}", R"({"b":2})"},
      {"{\"a\": 1,, \"b\": 2}", R"({"a":1,"b":2})"},
      {"{\"s\": \"\xff\"}", "{\"s\":\"\uFFFD\"}"},
      {"[1e999]", R"(["1e999"])"},
      {"  \n'x'", "\"x\""},
      {"{color: #fff, t: true story}", R"({"color":"#fff","t":"true story"})"},
  };
  for (const auto& [text, want] : cases) {
    EXPECT_EQ(read(text), want) << text;
    const auto loose = parse_loose_json(text);
    EXPECT_TRUE(
        loose && (loose->repaired || !loose->complete || parse_json(text) ||
                  !loose->exact))
        << text;
  }
}

TEST(LooseJson, Refuses) {
  for (const char* text :
       {"",
        "  ",
        "}",
        ",",
        "hello",
        "12abc",
        ":",
        "{:}",
        "{\"a\" \"b\"}",
        "\"abc",
        "{\"a\": : 1}",
        "-",
        "truex"}) {
    EXPECT_EQ(read(text).substr(0, 2), "! ") << text;
  }
  EXPECT_EQ(read("[a]", {.bare_words = false}).substr(0, 2), "! ");
  EXPECT_EQ(
      read(std::string(64, '[') + std::string(64, ']')),
      std::string(64, '[') + std::string(64, ']'));
  EXPECT_EQ(read(std::string(65, '[')), "! the JSON is nested too deep");
  EXPECT_EQ(read(std::string(1 << 20, '{')), "! the JSON is nested too deep");
}

TEST(LooseJson, TellsWhatItDid) {
  auto loose = parse_loose_json("{\"a\": 1} tail");
  ASSERT_TRUE(loose);
  EXPECT_EQ(loose->consumed, 8u);
  EXPECT_FALSE(loose->repaired);
  EXPECT_TRUE(loose->complete && loose->exact && !loose->dropped);

  loose = parse_loose_json("{\"a\": 1, \"b\": \"cut he");
  ASSERT_TRUE(loose);
  EXPECT_EQ(dump_json(loose->value), R"({"a":1})");
  EXPECT_FALSE(loose->complete);
  EXPECT_TRUE(loose->dropped);

  loose = parse_loose_json("{\"a\": \"cut he\\", {.cut_strings = true});
  ASSERT_TRUE(loose);
  EXPECT_EQ(dump_json(loose->value), R"({"a":"cut he"})");
  EXPECT_FALSE(loose->complete);
  EXPECT_FALSE(loose->dropped);

  for (const auto& [number, exact] : std::vector<std::pair<const char*, bool>>{
           {"18446744073709551615", true},
           {"-9223372036854775808", true},
           {"18446744073709551616", false},
           {"0.1", true},
           {"1.50", true},
           {"100e-2", true},
           {"1e22", true},
           {"0.10000000000000000001", false},
           {"123456789012345678901234567890", false},
           {"1e999", false}}) {
    loose = parse_loose_json(number);
    ASSERT_TRUE(loose);
    EXPECT_EQ(loose->exact, exact) << number;
  }
}

TEST(LooseJson, AFurtherQuote) {
  EXPECT_EQ(
      read(
          R"({path:<|"|>/a "b" \d<|"|>,n:3,o:{deep:true},xs:[1,2]})",
          {.quote = "<|\"|>"}),
      R"({"path":"/a \"b\" \\d","n":3,"o":{"deep":true},"xs":[1,2]})");
}

TEST(LooseJson, StrictJsonIsAsTheStrictParserHasIt) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    RandomJson random(seed);
    std::string text = dump_json(random.value(4));
    const size_t flips = random.below(3);
    for (size_t n = 0; n < flips && !text.empty(); ++n) {
      text[random.below(text.size())] = "\"{}[],:'\\1a "[random.below(12)];
    }
    const auto strict = parse_json(text);
    const auto loose = parse_loose_json(text);
    if (strict) {
      ASSERT_TRUE(loose) << text;
      ASSERT_EQ(dump_json(loose->value), dump_json(*strict)) << text;
      ASSERT_FALSE(loose->repaired || loose->dropped) << text;
      ASSERT_TRUE(loose->complete) << text;
    } else if (loose && loose->complete) {
      const auto rest = text.substr(loose->consumed);
      ASSERT_TRUE(
          loose->repaired || rest.find_first_not_of(' ') != std::string::npos)
          << text;
    }
  }
}

TEST(LooseJson, DamagedPrintsGiveTheSameValue) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    RandomJson random(seed);
    const Json value = random.object(3);
    const std::string text = random.print(value, random.style());
    const auto loose = parse_loose_json(text + " tail");
    ASSERT_TRUE(loose) << seed << "\n" << text;
    ASSERT_EQ(dump_json(loose->value), dump_json(value)) << seed << "\n"
                                                         << text;
    ASSERT_EQ(loose->consumed, text.size()) << text;
    ASSERT_TRUE(loose->complete && !loose->dropped) << text;
  }
}

// Every member of `part` is in `whole`, at its place.
bool begins(const Json& part, const Json& whole) {
  if (part.type() != whole.type()) {
    return part.is_number() && whole.is_number();
  }
  if (!part.is_structured()) {
    return true;
  }
  if (part.size() > whole.size()) {
    return false;
  }
  auto other = whole.begin();
  for (auto it = part.begin(); it != part.end(); ++it, ++other) {
    if ((part.is_object() && it.key() != other.key()) ||
        !begins(it.value(), other.value())) {
      return false;
    }
  }
  return true;
}

TEST(LooseJson, CutAnywhere) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    RandomJson random(seed);
    const Json value = random.object(3);
    const std::string strict = dump_json(value);
    const std::string damaged = random.print(value, random.style());
    for (size_t n = 0; n < damaged.size(); ++n) {
      for (bool cut_strings : {false, true}) {
        const LooseOptions options{.cut_strings = cut_strings};
        const auto loose = parse_loose_json(damaged.substr(0, n), options);
        EXPECT_FALSE(loose && loose->consumed > n);
      }
    }
    for (size_t n = 1; n < strict.size(); ++n) {
      const auto loose = parse_loose_json(strict.substr(0, n));
      ASSERT_TRUE(loose) << strict.substr(0, n);
      ASSERT_FALSE(loose->complete) << strict.substr(0, n);
      ASSERT_TRUE(begins(loose->value, value)) << strict.substr(0, n);
    }
  }
}

TEST(LooseJson, TimeIsLinear) {
  const auto work = [](const std::string& text) {
    const auto loose = parse_loose_json(text, {.cut_strings = true});
    EXPECT_TRUE(loose || !loose.error().what.empty());
  };
  for (const char* piece :
       {"1,",
        "\"a\" ",
        "\"",
        "a,",
        "'\" ",
        "{\"k\":1},",
        "\" , \" ",
        "      ",
        "[],",
        "a\n",
        "\\u12",
        "k: v, ",
        "\"a\": \"b\" ",
        "x \"y\" ",
        "#",
        "// \n",
        "\"a b c\", "}) {
    for (const char* opener : {"[", "{", "{\"a\": \"", "{a: "}) {
      const auto make = [&](size_t size) {
        std::string text = opener;
        while (text.size() < size) {
          text += piece;
        }
        return text;
      };
      EXPECT_TRUE(is_linear(make, work)) << opener << piece;
    }
  }
  const auto keys = [](size_t count) {
    std::string text = "{";
    for (size_t n = 0; n < count; ++n) {
      text += "\"k" + std::to_string(n) + "\":1,";
    }
    return text;
  };
  EXPECT_TRUE(is_linear(keys, work, 6'000));
}

}  // namespace
}  // namespace rapid
