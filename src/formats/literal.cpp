#include "formats/literal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace rapid {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

size_t skip_digits(std::string_view text, size_t i) {
  while (i < text.size() && is_digit(text[i])) {
    ++i;
  }
  return i;
}

// Whether `word` is all of one JSON number.
bool is_json_number(std::string_view word) {
  size_t i = word.starts_with('-') ? 1 : 0;
  const size_t digits = i;
  i = skip_digits(word, i);
  if (i == digits || (word[digits] == '0' && i > digits + 1)) {
    return false;
  }
  if (i < word.size() && word[i] == '.') {
    const size_t fraction = ++i;
    i = skip_digits(word, i);
    if (i == fraction) {
      return false;
    }
  }
  if (i < word.size() && (word[i] == 'e' || word[i] == 'E')) {
    ++i;
    i += i < word.size() && (word[i] == '+' || word[i] == '-') ? 1 : 0;
    const size_t exponent = i;
    i = skip_digits(word, i);
    if (i == exponent) {
      return false;
    }
  }
  return i == word.size();
}

// A number's digits without zeros at both ends, and the power of ten of the
// first one: equal for equal numbers.
std::pair<std::string, long> normal_form(std::string_view word) {
  std::string digits;
  long point = 0;
  bool fraction = false;
  size_t i = word.starts_with('-') ? 1 : 0;
  for (; i < word.size() && (is_digit(word[i]) || word[i] == '.'); ++i) {
    if (word[i] == '.') {
      fraction = true;
    } else {
      point += fraction ? 0 : 1;
      digits += word[i];
    }
  }
  if (i < word.size()) {
    i += word[i + 1] == '+' ? 2 : 1;
    long exponent = 0;
    std::from_chars(word.data() + i, word.data() + word.size(), exponent);
    point += exponent;
  }
  const size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) {
    return {"", 0};
  }
  digits.erase(0, first);
  digits.erase(digits.find_last_not_of('0') + 1);
  return {digits, point - static_cast<long>(first)};
}

Literal json_number(std::string_view word) {
  if (word.size() <= 15 &&
      word.find_first_of("-.eE") == std::string_view::npos) {
    uint64_t value = 0;
    std::from_chars(word.data(), word.data() + word.size(), value);
    return {.value = value};
  }
  Json value = Json::parse(word.begin(), word.end(), nullptr, false);
  if (value.is_discarded()) {
    return {.value = std::string(word), .exact = false};
  }
  bool exact = true;
  if (value.is_number_float()) {
    exact = normal_form(dump_json(value)) == normal_form(word);
  }
  return {.value = std::move(value), .exact = exact};
}

std::optional<Literal> based_number(std::string_view digits, bool negative) {
  const char kind = static_cast<char>(digits[1] | 0x20);
  const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
  if (base == 0) {
    return std::nullopt;
  }
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto done = std::from_chars(digits.data() + 2, end, value, base);
  if (done.ec != std::errc{} || done.ptr != end ||
      (negative && value > uint64_t{1} << 62)) {
    return std::nullopt;
  }
  Json json = value;
  if (negative) {
    json = -static_cast<int64_t>(value);
  }
  return Literal{.value = std::move(json), .strict = false};
}

int hex_value(char c) {
  if (is_digit(c)) {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The number of `count` hex digits at text[at]; none if they are not there.
std::optional<uint32_t> read_hex(
    std::string_view text, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = at; i < at + count; ++i) {
    const int digit = i < text.size() ? hex_value(text[i]) : -1;
    if (digit < 0) {
      return std::nullopt;
    }
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return value;
}

void append_utf8(std::string& out, uint32_t code, bool& strict) {
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    code = 0xFFFD;
    strict = false;
  }
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// \uXXXX, \xHH, \UXXXXXXXX at text[at]; a pair of surrogates is one character.
size_t read_code(
    std::string_view text, size_t at, std::string& out, bool& strict) {
  const char kind = text[at + 1];
  const size_t count = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
  strict = strict && kind == 'u';
  auto code = read_hex(text, at + 2, count);
  if (!code) {
    strict = false;
    const auto rest = text.substr(at + 2);
    if (rest.size() < count &&
        std::ranges::all_of(rest, [](char c) { return hex_value(c) >= 0; })) {
      return text.size();
    }
    out += text.substr(at, 2);
    return at + 2;
  }
  size_t end = at + 2 + count;
  if (*code >= 0xD800 && *code < 0xDC00 && text.substr(end, 2) == "\\u") {
    const auto low = read_hex(text, end + 2, 4);
    if (low && *low >= 0xDC00 && *low < 0xE000) {
      code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
      end += 6;
    }
  }
  append_utf8(out, *code, strict);
  return end;
}

std::string lower_case(std::string_view word) {
  std::string lower(word);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  return lower;
}

}  // namespace

std::optional<Literal> read_number(std::string_view word) {
  if (is_json_number(word)) {
    return json_number(word);
  }
  const bool negative = word.starts_with('-');
  std::string digits(word.substr(negative || word.starts_with('+') ? 1 : 0));
  if (digits.size() < 2 && (digits.empty() || !is_digit(digits[0]))) {
    return std::nullopt;
  }
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] == '_' &&
        (i == 0 || i + 1 == digits.size() || hex_value(digits[i - 1]) < 0 ||
         hex_value(digits[i + 1]) < 0)) {
      return std::nullopt;
    }
  }
  std::erase(digits, '_');
  if (digits[0] == '0' && digits.size() > 2 && !is_digit(digits[1])) {
    if (auto number = based_number(digits, negative)) {
      return number;
    }
  }
  if (digits[0] == '.' && is_digit(digits[1])) {
    digits.insert(0, 1, '0');
  }
  const size_t point = digits.find('.');
  if (point != std::string::npos &&
      (point + 1 == digits.size() || !is_digit(digits[point + 1]))) {
    digits.insert(point + 1, 1, '0');
  }
  digits.insert(0, negative ? "-" : "");
  if (!is_json_number(digits)) {
    return std::nullopt;
  }
  Literal number = json_number(digits);
  number.strict = false;
  return number;
}

std::optional<Literal> read_constant(std::string_view word) {
  if (word.empty() || word.size() > 9) {
    return std::nullopt;
  }
  const std::string lower = lower_case(word);
  if (lower == "true" || lower == "false") {
    return Literal{.value = lower == "true", .strict = lower == word};
  }
  if (lower == "null" || lower == "none") {
    return Literal{.value = nullptr, .strict = word == "null"};
  }
  const size_t sign = lower[0] == '-' || lower[0] == '+' ? 1 : 0;
  const auto name = std::string_view(lower).substr(sign);
  const bool nothing = name == "nan" || name == "infinity" ||
                       (sign == 1 && name == "inf") || word == "undefined";
  if (nothing && word != "nan") {
    return Literal{.value = nullptr, .strict = false, .exact = false};
  }
  return std::nullopt;
}

size_t read_escape(
    std::string_view text,
    size_t at,
    Escapes escapes,
    std::string& out,
    bool& strict) {
  constexpr std::array<std::pair<char, char>, 8> plain{
      {{'"', '"'},
       {'\\', '\\'},
       {'/', '/'},
       {'b', '\b'},
       {'f', '\f'},
       {'n', '\n'},
       {'r', '\r'},
       {'t', '\t'}}};
  if (at + 1 >= text.size()) {
    strict = false;
    return text.size();
  }
  const char c = text[at + 1];
  const bool python = escapes == Escapes::python;
  for (const auto& [name, value] : plain) {
    if (c == name && !(python && c == '/')) {
      out += value;
      return at + 2;
    }
  }
  if (c == 'u' || (c == 'x' && escapes != Escapes::json) ||
      (c == 'U' && python)) {
    return read_code(text, at, out, strict);
  }
  strict = false;
  if (c == '\'') {
    out += c;
  } else if (python && (c == 'a' || c == 'v' || c == '0')) {
    out += c == 'a' ? '\a' : c == 'v' ? '\v' : '\0';
  } else if (!python || c != '\n') {
    out += text.substr(at, 2);
  }
  return at + 2;
}

}  // namespace rapid
