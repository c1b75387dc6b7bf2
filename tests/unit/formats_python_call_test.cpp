#include <gtest/gtest.h>

#include <string>

#include "formats/python_call.h"
#include "unit/linear_time.h"
#include "unit/random_json.h"

namespace rapid {
namespace {

// name{arguments} of each call; "..." behind one that is cut.
std::string read(std::string_view text) {
  const auto calls = parse_python_calls(text);
  if (!calls) {
    return "! " + calls.error().what;
  }
  std::string out;
  for (const PythonCall& call : *calls) {
    out += (out.empty() ? "" : " ") + call.name + dump_json(call.arguments);
    out += call.complete ? "" : "...";
  }
  return out;
}

TEST(PythonCall, ReadsCalls) {
  const std::pair<const char*, const char*> cases[] = {
      {"[read(path=\"/a\"), add(a=1, b=[2,3])]",
       R"(read{"path":"/a"} add{"a":1,"b":[2,3]})"},
      {"f(x=1)", R"(f{"x":1})"},
      {"f()", "f{}"},
      {" [ a.b-c ( x = 1 , ) ] tail", R"(a.b-c{"x":1})"},
      {"[f({\"a\": true, \"b\": \"\\/\\ud83d\\ude00\"})]",
       "f{\"a\":true,\"b\":\"/😀\"}"},
      {"[f({'a': True, 'b': r'\\d'})]", R"(f{"a":true,"b":"\\d"})"},
      {"f(a='it\\'s', b=\"\"\"x \"y\"\nz\"\"\", c='''q''')",
       R"(f{"a":"it's","b":"x \"y\"\nz","c":"q"})"},
      {"f(a=r'\\n', b=b'x', c=f\"{y}\", d=Rb'\\'')",
       R"(f{"a":"\\n","b":"x","c":"{y}","d":"\\'"})"},
      {"f(a='x' \"y\"\n 'z')", R"(f{"a":"xyz"})"},
      {"f(a='\\x41\\u00e9\\U0001F600\\a\\0\\q\\\nb')",
       "f{\"a\":\"Aé😀\\u0007\\u0000\\\\qb\"}"},
      {"f(a=True, b=false, c=None, d=null, e=-1.5e+3, g=1_000, h=0x10)",
       R"(f{"a":true,"b":false,"c":null,"d":null,"e":-1500.0,"g":1000,"h":16})"},
      {"f(a=(1, 2), b={1, 2}, c={}, d=(), e=(1,), g=(1), h={'k': {2: 3}})",
       R"(f{"a":[1,2],"b":[1,2],"c":{},"d":[],"e":[1],"g":1,"h":{"k":{"2":3}}})"},
      {"f(a=celsius, b=/x/y.txt, c=1+2, d=g(1, ')'), e=hello world)",
       R"x(f{"a":"celsius","b":"/x/y.txt","c":"1+2","d":"g(1, ')')","e":"hello world"})x"},
      {"f(a=1, **{'b': 2}, a=3)", R"(f{"a":3,"b":2})"},
      {"f(path: \"/a\", \"n\"=1)", R"(f{"path":"/a","n":1})"},
      {"[f(a=1), # then\n g(b=2)]", R"(f{"a":1} g{"b":2})"},
      {"[f(a=1) g()]", R"(f{"a":1} g{})"},
      {"[f(a=1]", R"(f{"a":1})"},
      {"[f(a=1), g(b=2", R"(f{"a":1} g{"b":2}...)"},
      {"[f(a=1), g(b='cut", R"(f{"a":1} g{}...)"},
      {"[f(a=1), g", R"(f{"a":1})"},
      {"[f(a=[1, 2", "f{}..."},
      {"[f({\"a\": 1, \"b\": \"x\"", R"(f{"a":1,"b":"x"}...)"},
      {"f(s='\xff')", "f{\"s\":\"\uFFFD\"}"},
  };
  for (const auto& [text, want] : cases) {
    EXPECT_EQ(read(text), want) << text;
  }
}

TEST(PythonCall, Refuses) {
  for (const char* text :
       {"",
        "[]",
        "[",
        "f",
        "f x",
        "[1, 2]",
        "f(1)",
        "f('x')",
        "f(a, b)",
        "f(a=)",
        "f(a=1, {\"b\": 2})",
        "f([1])",
        "f(a==1)",
        "(x=1)",
        "f(**[1])",
        "f(a=1}",
        "Sure. [f(a=1)]",
        "[f(a=1), 2]",
        "[{\"a\":1}]"}) {
    EXPECT_EQ(read(text).substr(0, 2), "! ") << text << " " << read(text);
  }
  EXPECT_EQ(read("f(a=" + std::string(1 << 20, '[')).substr(0, 2), "! ");
  EXPECT_EQ(read("f(a=" + std::string(1 << 20, '{')).substr(0, 2), "! ");
}

TEST(PythonCall, Consumed) {
  const auto calls = parse_python_calls(" [f(a=1), g()] x");
  ASSERT_TRUE(calls);
  ASSERT_EQ(calls->size(), 2u);
  EXPECT_EQ((*calls)[0].consumed, 8u);
  EXPECT_EQ((*calls)[1].consumed, 13u);
}

TEST(PythonListEnd, Balances) {
  EXPECT_EQ(python_list_end("[f(a=']')] x"), 10u);
  EXPECT_EQ(python_list_end("[f(a=\"\"\"]\"\"\")]"), 14u);
  EXPECT_EQ(python_list_end("[f(a='', b='\\']')]"), 18u);
  EXPECT_EQ(python_list_end("[f(a=it's)]"), 11u);
  EXPECT_EQ(python_list_end("[f(a=r']')]"), 11u);
  EXPECT_EQ(python_list_end("[f(a=1]"), 7u);
  EXPECT_EQ(python_list_end("[]"), 2u);
  for (const char* text : {"", "x", "[", "[f(a='x)]", "[)", "[f(a=[1)]"}) {
    EXPECT_EQ(python_list_end(text), std::string_view::npos) << text;
  }
  PythonListScan scan;
  scan.advance("[)");
  EXPECT_TRUE(scan.broken());
}

std::string print_call(const Json& arguments, RandomJson& random) {
  auto style = random.style();
  style.python = true;
  style.bare = style.no_commas = style.comments = false;
  std::string out = "name.x-y(";
  for (const auto& [key, value] : arguments.items()) {
    out += random.space(style) + key + "=" + random.print(value, style) + ", ";
  }
  return out + ")";
}

Json named_arguments(RandomJson& random) {
  Json out = Json::object();
  for (size_t n = random.below(5); n > 0; --n) {
    out[random.name()] = random.value(3);
  }
  return out;
}

TEST(PythonCall, WhatIsPrintedIsRead) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    RandomJson random(seed);
    const Json first = named_arguments(random);
    const Json second = named_arguments(random);
    const std::string text = "[" + print_call(first, random) + ", " +
                             print_call(second, random) + "]";
    ASSERT_EQ(
        read(text),
        "name.x-y" + dump_json(first) + " name.x-y" + dump_json(second))
        << seed << "\n"
        << text;
    ASSERT_EQ(python_list_end(text + "]"), text.size()) << text;
    PythonListScan scan;
    for (size_t n = 0; n <= text.size(); ++n) {
      scan.advance(std::string_view(text).substr(0, n));
      ASSERT_EQ(scan.complete(), n == text.size()) << n << text;
    }
  }
}

TEST(PythonCall, CutAndDamagedAnywhere) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    RandomJson random(seed);
    const Json arguments = named_arguments(random);
    std::string text = "[" + print_call(arguments, random) + "]";
    for (size_t n = 0; n < text.size(); ++n) {
      const auto calls = parse_python_calls(text.substr(0, n));
      if (!calls) {
        continue;
      }
      ASSERT_EQ(calls->size(), 1u);
      ASSERT_LE(calls->front().arguments.size(), arguments.size());
      if (n + 1 < text.size()) {
        ASSERT_FALSE(calls->front().complete) << text.substr(0, n);
      }
    }
    for (size_t n = 0; n < 20; ++n) {
      text[random.below(text.size())] = "\"'[](){},=:\\#\n*a"[random.below(16)];
      const auto calls = parse_python_calls(text);
      EXPECT_TRUE(!calls || calls->back().consumed <= text.size());
      python_list_end(text);
    }
  }
}

TEST(PythonCall, TimeIsLinear) {
  for (const char* piece :
       {"f(a=1),",
        "f({\"a\":1}),",
        "'a' ",
        "1,",
        "\"",
        "((1)+1),",
        "a=1,",
        "{'k': 1},",
        "x y ",
        "# \n",
        "'''",
        "\\",
        "f(a='b'"}) {
    for (const char* opener : {"[", "f(a=", "f(a=[", "[f(", "f({"}) {
      const auto make = [&](size_t size) {
        std::string text = opener;
        while (text.size() < size) {
          text += piece;
        }
        return text;
      };
      const auto work = [](const std::string& text) {
        const auto calls = parse_python_calls(text);
        const size_t end = python_list_end(text);
        EXPECT_TRUE(end == std::string_view::npos || end <= text.size());
      };
      EXPECT_TRUE(is_linear(make, work)) << opener << piece;
    }
  }
}

}  // namespace
}  // namespace rapid
