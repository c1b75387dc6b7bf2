#include "formats/python_value.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "formats/literal.h"
#include "formats/members.h"

namespace rapid {
namespace {

constexpr int max_depth = 64;
constexpr size_t no_string = 3;  // longer than every prefix
constexpr size_t cut = std::string_view::npos;

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_quote(char c) {
  return c == '"' || c == '\'';
}

bool is_end(char c) {
  return c == ',' || c == ')' || c == ']' || c == '}';
}

}  // namespace

void PythonReader::skip_space() {
  while (!at_end()) {
    if (is_space(here()) || (here() == '\\' && at(at_ + 1) == '\n')) {
      ++at_;
    } else if (here() == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return;
    }
  }
}

std::string_view PythonReader::name() {
  const size_t begin = at_;
  while (!at_end() && is_word(here())) {
    ++at_;
  }
  return text_.substr(begin, at_ - begin);
}

// The letters before the quotes of the string at text[i]; no_string if none.
size_t PythonReader::string_prefix(size_t i) const {
  size_t length = 0;
  while (length < no_string && !is_quote(at(i + length))) {
    const char c = static_cast<char>(at(i + length) | 0x20);
    if (c != 'r' && c != 'b' && c != 'u' && c != 'f') {
      return no_string;
    }
    ++length;
  }
  return length;
}

// Reads the string at text[i] onto `out`, if there is one. Cut: npos.
size_t PythonReader::string_end(size_t i, std::string* out) const {
  const size_t prefix = string_prefix(i);
  const auto letters = text_.substr(i, prefix);
  const bool raw = letters.find_first_of("rR") != std::string_view::npos;
  i += prefix;
  auto mark = text_.substr(i, 1);
  if (at(i + 1) == mark[0] && at(i + 2) == mark[0]) {
    mark = text_.substr(i, 3);
  }
  i += mark.size();
  size_t run = i;
  const auto flush = [&] {
    if (out != nullptr) {
      out->append(text_.substr(run, i - run));
    }
  };
  for (; i < text_.size(); ++i) {
    if (text_[i] == mark[0] && text_.substr(i).starts_with(mark)) {
      flush();
      return i + mark.size();
    }
    if (text_[i] != '\\') {
      continue;
    }
    if (raw || out == nullptr) {
      ++i;
      continue;
    }
    flush();
    bool strict = true;
    run = read_escape(text_, i, Escapes::python, *out, strict);
    i = run - 1;
  }
  return cut;
}

PythonGot PythonReader::string(std::string& out) {
  size_t end = at_;
  while (at_string()) {
    end = string_end(at_, &out);
    if (end == cut) {
      at_ = text_.size();
      return PythonGot::cut;
    }
    at_ = end;
    skip_space();
  }
  if (!utf8_valid(out)) {
    out = utf8_replace_invalid(out);
  }
  return PythonGot::value;
}

// All up to the next comma or closer, as text.
PythonGot PythonReader::expression(Json& out, size_t begin) {
  int open = 0;
  size_t i = begin;
  while (i < text_.size()) {
    const char c = text_[i];
    const bool fresh = i == begin || !is_word(text_[i - 1]);
    if (fresh && string_prefix(i) < no_string) {
      i = string_end(i, nullptr);
      if (i == cut) {
        break;
      }
      continue;
    }
    if (open == 0 && is_end(c)) {
      const auto words = text_.substr(begin, i - begin);
      const size_t last = words.find_last_not_of(" \t\r\n\f\v");
      at_ = i;
      out = utf8_replace_invalid(words.substr(0, last + 1));
      return words.empty() ? PythonGot::broken : PythonGot::value;
    }
    open += c == '(' || c == '[' || c == '{' ? 1 : 0;
    open -= is_end(c) && c != ',' ? 1 : 0;
    ++i;
  }
  at_ = text_.size();
  return PythonGot::cut;
}

PythonGot PythonReader::value(Json& out) {
  skip_space();
  const size_t begin = at_;
  if (at_end()) {
    return PythonGot::cut;
  }
  if (is_end(here())) {
    return PythonGot::broken;
  }
  const PythonGot got = literal(out);
  if (got != PythonGot::value) {
    return got;
  }
  skip_space();
  if (out.is_discarded() || !(at_end() || is_end(here()))) {
    return expression(out, begin);
  }
  return got;
}

// A literal; discarded when there is none.
PythonGot PythonReader::literal(Json& out) {
  const char c = here();
  if (at_string()) {
    std::string text;
    const PythonGot got = string(text);
    out = std::move(text);
    return got;
  }
  if (c == '{' || c == '[' || c == '(') {
    if (depth_ == max_depth) {
      return PythonGot::broken;
    }
    ++depth_;
    const PythonGot got =
        c == '{' ? braces(out) : list(out, c == '[' ? ']' : ')');
    --depth_;
    return got;
  }
  const size_t begin = at_;
  at_ += c == '+' || c == '-' ? 1 : 0;
  name();
  if (!at_end() && (here() == '+' || here() == '-') &&
      (text_[at_ - 1] | 0x20) == 'e') {
    ++at_;  // 1e+5
    name();
  }
  const auto word = text_.substr(begin, at_ - begin);
  auto found = read_number(word);
  if (!found) {
    found = read_constant(word);
  }
  out = found ? std::move(found->value) : Json(Json::value_t::discarded);
  return PythonGot::value;
}

PythonGot PythonReader::list(Json& out, char closer) {
  ++at_;
  out = Json::array();
  bool comma = false;
  while (true) {
    skip_space();
    if (at_end()) {
      return PythonGot::cut;
    }
    if (here() == closer) {
      ++at_;
      if (closer == ')' && out.size() == 1 && !comma) {
        Json only = std::move(out[0]);
        out = std::move(only);
      }
      return PythonGot::value;
    }
    if (here() == ',') {
      comma = true;
      ++at_;
      continue;
    }
    Json one;
    const PythonGot got = value(one);
    if (got != PythonGot::value) {
      return got;
    }
    out.push_back(std::move(one));
  }
}

// A dict, or a set as an array.
PythonGot PythonReader::braces(Json& out) {
  const size_t begin = at_++;
  Members members(out);
  while (true) {
    skip_space();
    if (at_end()) {
      return PythonGot::cut;
    }
    if (here() == '}') {
      ++at_;
      return PythonGot::value;
    }
    if (here() == ',') {
      ++at_;
      continue;
    }
    std::string key;
    PythonGot got = PythonGot::value;
    if (at_string()) {
      got = string(key);
    } else {
      key = utf8_replace_invalid(name());
    }
    skip_space();
    if (got != PythonGot::value || at_end()) {
      return PythonGot::cut;
    }
    if (here() != ':') {
      if (!members.empty()) {
        return PythonGot::broken;
      }
      at_ = begin;
      return list(out, '}');
    }
    ++at_;
    Json one;
    got = value(one);
    if (got != PythonGot::value) {
      return got;
    }
    members.set(std::move(key), std::move(one));
  }
}

}  // namespace rapid
