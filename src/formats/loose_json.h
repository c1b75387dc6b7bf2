// One JSON value as models write it. What is strict JSON gives exactly the
// value a strict parser gives; what is not is recovered where only one reading
// is likely:
//   strings   single quotes, """ and ''', raw control characters, unknown
//             escapes (\d stays two characters, \' is a quote), a quote inside
//             that nothing legal follows, lone surrogates and bytes that are
//             not UTF-8 (U+FFFD)
//   members   missing, doubled and trailing commas; unquoted keys and numbers
//             as keys; = and => for a colon; a doubled brace {{...}}
//   values    Python's True False None, tuples and sets (arrays); NaN and
//             Infinity (null); +1 .5 1. 1_000 0x1f; bare words as text
//   closers   missing at the end of the text, missing or wrong ones inside
//   comments  // and /* */, and # before a space
// Members keep the order they are written in; of equal keys the last one's
// value stands in the place of the first. Nothing is invented. Linear in the
// text, never throws.
//
// A Json number is 64 bits or a double, so one that needs more digits cannot
// be printed as it was written: then `exact` is false, and a caller who must
// keep the digits of strict JSON passes the text on instead. 1e999 is text.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/json.h"

namespace rapid {

struct LooseOptions {
  bool bare_words = true;    // {a: some words} inside of containers
  bool cut_strings = false;  // a string that the text's end cuts is a value
  int max_depth = 64;
  // One more mark that opens and closes a string without escapes; may be "".
  std::string_view quote = {};
};

struct LooseJson {
  Json value;
  size_t consumed = 0;    // bytes up to the end of the value
  bool repaired = false;  // it was not strict JSON
  bool complete = true;   // false: the end of the text closed it
  bool dropped = false;   // a cut member, or a key without value, is not in it
  bool exact = true;      // every number is the one that was written
};

// Reads the value at the start of `text`, behind white space and comments.
// What follows it is not looked at. Fails when there is no value, when nothing
// of it can be kept, and when it is nested deeper than max_depth.
Result<LooseJson> parse_loose_json(
    std::string_view text, const LooseOptions& options = {});

}  // namespace rapid
