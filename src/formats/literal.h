// Scalars of JSON and of Python as models write them: numbers, literal words
// and the escapes of strings. Shared by loose_json and python_call.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace rapid {

struct Literal {
  Json value;
  bool strict = true;  // JSON as it stands
  // The value prints as a number equal to what was written. False when 64
  // bits or a double cannot hold it.
  bool exact = true;
};

// The whole of `word` as a number: JSON, and then +1 .5 1. 1_000 0x1f 0o7 0b1.
// Not 007, which is rather text. A number beyond every double becomes its text.
std::optional<Literal> read_number(std::string_view word);

// true false null in any case, None; undefined, NaN and infinities are null.
std::optional<Literal> read_constant(std::string_view word);

enum class Escapes {
  json,
  quoted,  // JSON's and \xHH, as in single quotes
  python,  // all of Python's; \/ is two characters
};

// Decodes the escape at text[at] == '\\' onto `out` and returns the index
// behind it; behind the text if it is cut there. Unknown escapes are kept as
// they are, except \' which is a quote; a lone surrogate becomes U+FFFD. Sets
// `strict` to false for whatever JSON does not have.
size_t read_escape(
    std::string_view text,
    size_t at,
    Escapes escapes,
    std::string& out,
    bool& strict);

}  // namespace rapid
