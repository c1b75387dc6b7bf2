#include "formats/loose_text.h"

#include <algorithm>

#include "formats/literal.h"

namespace rapid {
namespace {

constexpr size_t look_ahead = 64;  // bytes of a key that a guess looks at

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.' || c == '$';
}

}  // namespace

size_t LooseText::skip_blank(size_t at) const {
  while (at < text_.size() && is_space(text_[at])) {
    ++at;
  }
  return at;
}

bool LooseText::new_line(size_t begin, size_t end) const {
  return text_.substr(begin, end - begin).find('\n') != std::string_view::npos;
}

bool LooseText::comment_at(size_t i) const {
  if (at(i) == '/') {
    return at(i + 1) == '/' || at(i + 1) == '*';
  }
  return at(i) == '#' && (i + 1 >= text_.size() || is_space(text_[i + 1]));
}

size_t LooseText::skip_space(size_t i, bool& repaired) const {
  while (i < text_.size()) {
    const char c = text_[i];
    if (is_space(c)) {
      repaired |= c == '\f' || c == '\v';
      ++i;
    } else if (text_.substr(i).starts_with("\u00A0")) {
      repaired = true;
      i += 2;
    } else if (comment_at(i)) {
      repaired = true;
      const bool block = at(i + 1) == '*';
      const size_t end = text_.find(block ? "*/" : "\n", i + 2 - (c == '#'));
      i = end == std::string_view::npos ? text_.size() : end + 1 + block;
    } else {
      break;
    }
  }
  return i;
}

std::optional<size_t> LooseText::read_string(
    size_t begin,
    std::string_view mark,
    bool verbatim,
    const Scope& scope,
    std::string& out,
    bool& strict) {
  const auto escapes = mark[0] == '\'' ? Escapes::quoted : Escapes::json;
  const bool guess = mark.size() == 1 && !plain_quotes_ &&
                     scope.where != Where::top && scope.where != Where::key;
  bool guessed = false;
  size_t i = begin + mark.size();
  size_t run = i;  // what of the plain characters is not yet in `out`
  while (i < text_.size()) {
    const char c = text_[i];
    if (c == mark[0] && text_.substr(i).starts_with(mark)) {
      if (!guess || string_ends(i + 1, c, scope)) {
        out += text_.substr(run, i - run);
        return i + mark.size();
      }
      strict = false;
      guessed = true;
      ++i;
    } else if (c == '\\' && !verbatim) {
      out += text_.substr(run, i - run);
      i = run = read_escape(text_, i, escapes, out, strict);
    } else {
      strict &= static_cast<unsigned char>(c) >= 0x20;
      ++i;
    }
  }
  if (guessed) {
    plain_quotes_ = true;
    out.clear();
    return read_string(begin, mark, verbatim, scope, out, strict);
  }
  out += text_.substr(run);
  return std::nullopt;
}

// Whether the quote before text[i] closes a string that is a value.
bool LooseText::string_ends(size_t i, char quote, const Scope& scope) const {
  const size_t next = skip_blank(i);
  const char c = at(next);
  if (next >= text_.size() || comment_at(next)) {
    return true;
  }
  const bool list = scope.where == Where::list;
  switch (c) {
    case ',':
      return list || key_follows(next + 1);
    case ']':
      return scope.in_array;
    case '}': {
      const char behind = at(next + 1);
      const bool inner = behind == ')' || behind == ';' || behind == quote;
      return scope.in_object && (scope.depth == 1 || !inner);
    }
    case '"':
    case '\'':
      return list ? next > i : quoted_key_follows(next, false);
    case '{':
    case '[':
      return list && next > i;
    case ')':
      return list;
    default:
      return list ? new_line(i, next) : next > i && bare_key_follows(next);
  }
}

bool LooseText::bare_key_follows(size_t i) const {
  const size_t stop = std::min(text_.size(), i + look_ahead);
  size_t end = i;
  while (end < stop && is_word(text_[end])) {
    ++end;
  }
  const size_t next = skip_blank(end);
  const char behind = at(next + 1);
  return end > i && (comment_at(next) ||
                     (at(next) == ':' && behind != '/' && behind != ':'));
}

// Whether a key in quotes and a colon stand at text[i]; `unless_found` when
// the second quote is further away than one looks.
bool LooseText::quoted_key_follows(size_t i, bool unless_found) const {
  const char quote = text_[i];
  const size_t stop = std::min(text_.size(), i + look_ahead);
  for (size_t end = i + 1; end < stop; ++end) {
    if (text_[end] == '\\') {
      ++end;
    } else if (text_[end] == quote) {
      const size_t next = skip_blank(end + 1);
      return next >= text_.size() ? unless_found
                                  : text_[next] == ':' || comment_at(next);
    }
  }
  return unless_found;
}

// Whether a comma before text[i] separates members.
bool LooseText::key_follows(size_t i) const {
  i = skip_blank(i);
  if (i >= text_.size() || comment_at(i)) {
    return true;
  }
  const char c = text_[i];
  if (c == '"' || c == '\'') {
    return quoted_key_follows(i, true);
  }
  return c == '}' || c == ']' || c == ',' || bare_key_follows(i);
}

size_t LooseText::bare_key_end(size_t i) const {
  while (i < text_.size() && !is_space(text_[i]) &&
         std::string_view(":=,{}[]()\"'").find(text_[i]) ==
             std::string_view::npos) {
    ++i;
  }
  return i;
}

size_t LooseText::token_end(size_t i) const {
  while (i < text_.size() && (is_word(text_[i]) || text_[i] == '+')) {
    ++i;
  }
  return i;
}

bool LooseText::value_ends(size_t i, Where where) const {
  const size_t next = skip_blank(i);
  const char c = at(next);
  if (next >= text_.size() || comment_at(next) ||
      std::string_view(",]})\"'").find(c) != std::string_view::npos) {
    return true;
  }
  if (next == i) {
    return false;
  }
  if (new_line(i, next)) {
    return true;
  }
  if (where == Where::object) {
    return bare_key_follows(next);
  }
  return (c >= '0' && c <= '9') || c == '-' || c == '{' || c == '[';
}

size_t LooseText::bare_words_end(
    size_t i, const Scope& scope, bool in_tuple) const {
  int depth = 0;
  for (; i < text_.size(); ++i) {
    const char c = text_[i];
    if (c == '{' || c == '[' || c == '(') {
      ++depth;
    } else if (c == '}' || c == ']' || c == ')') {
      if (depth == 0 && (c == '}'   ? scope.in_object
                         : c == ']' ? scope.in_array
                                    : in_tuple)) {
        break;
      }
      depth -= depth > 0 ? 1 : 0;
    } else if (
        c == '\n' || (c == ',' && depth == 0 &&
                      (scope.where != Where::object || key_follows(i + 1)))) {
      break;
    }
  }
  return i;
}

}  // namespace rapid
