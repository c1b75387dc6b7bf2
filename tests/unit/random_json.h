// Random JSON values, and such values printed the way damaged output looks.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "base/json.h"

namespace rapid {

class RandomJson {
 public:
  explicit RandomJson(uint64_t seed) : random_(seed) {}

  size_t below(size_t n) { return random_() % n; }
  bool one_in(size_t n) { return below(n) == 0; }

  std::string text() {
    static const char* const pieces[] = {
        "a",  "word", " ",    "\n", "\t",   "'",      "\"", "\\",    "\\n",
        "{",  "}",    "[",    "]",  ":",    ",",      "//", "# x",   "é",
        "日", "😀",   "\x01", "0",  "null", "</tag>", "=",  "\\u12", "/"};
    std::string out;
    for (size_t n = below(6); n > 0; --n) {
      out += pieces[below(std::size(pieces))];
    }
    return out;
  }

  std::string name() {
    static const char* const names[] = {
        "path", "n", "_x", "two_words", "Name2", "kebab-case", "dot.ted"};
    return std::string(names[below(std::size(names))]) +
           (one_in(2) ? std::to_string(below(9)) : "");
  }

  Json value(int depth) {
    switch (below(depth > 0 ? 8 : 6)) {
      case 0:
        return nullptr;
      case 1:
        return one_in(2);
      case 2:
        return static_cast<int64_t>(random_()) >> below(64);
      case 3:
        return static_cast<double>(below(1u << 20)) / 64 - 500;
      case 6: {
        Json out = Json::array();
        for (size_t n = below(5); n > 0; --n) {
          out.push_back(value(depth - 1));
        }
        return out;
      }
      case 7:
        return object(depth - 1);
      default:
        return text();
    }
  }

  Json object(int depth) {
    Json out = Json::object();
    for (size_t n = below(5); n > 0; --n) {
      out[one_in(4) ? text() : name()] = value(depth);
    }
    return out;
  }

  // How a print differs from strict JSON.
  struct Style {
    bool single = false;    // quotes
    bool raw = false;       // control characters inside of strings
    bool trailing = false;  // commas
    bool bare = false;      // keys
    bool python = false;    // literals
    bool no_commas = false;
    bool comments = false;
  };

  Style style() {
    Style s;
    for (bool* flag :
         {&s.single,
          &s.raw,
          &s.trailing,
          &s.bare,
          &s.python,
          &s.no_commas,
          &s.comments}) {
      *flag = one_in(3);
    }
    return s;
  }

  std::string space(const Style& style) {
    static const char* const spaces[] = {
        "", "", " ", "\n  ", "\t", " // it's {\n", " /* \" */ ", " # no }\n"};
    return spaces[below(style.comments ? 8 : 5)];
  }

  std::string print_string(const std::string& text, const Style& style) {
    const bool single = style.single && one_in(2);
    const char quote = single ? '\'' : '"';
    std::string out(1, quote);
    for (char c : text) {
      if (c == quote || c == '\\') {
        out += '\\';
        out += c;
      } else if (
          static_cast<unsigned char>(c) < 0x20 && !(style.raw && one_in(2))) {
        const std::string escaped = dump_json(std::string(1, c));
        out += escaped.substr(1, escaped.size() - 2);
      } else {
        out += c;
      }
    }
    return out + quote;
  }

  std::string print(const Json& value, const Style& style) {
    if (value.is_string()) {
      return print_string(value.get<std::string>(), style);
    }
    if (style.python && value.is_boolean()) {
      return value.get<bool>() ? "True" : "False";
    }
    if (style.python && value.is_null()) {
      return "None";
    }
    if (!value.is_structured()) {
      return dump_json(value);
    }
    const bool object = value.is_object();
    std::string out = object ? "{" : "[";
    size_t left = value.size();
    for (const auto& [key, item] : value.items()) {
      out += space(style);
      if (object) {
        const bool bare =
            style.bare && !key.empty() && key[0] != '0' &&
            key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_.-N0123456789") ==
                std::string::npos;
        out += bare ? key : print_string(key, style);
        out += space(style) + ":" + space(style);
      }
      out += print(item, style);
      --left;
      if (left > 0 ? style.no_commas && one_in(2)
                   : !(style.trailing && one_in(2))) {
        out += left > 0 ? "\n" : "";
      } else {
        out += space(style) + ",";
      }
    }
    return out + space(style) + (object ? "}" : "]");
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace rapid
