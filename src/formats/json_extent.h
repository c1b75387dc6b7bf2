// Where a JSON value in a call ends: by itself, at the tag that closes the
// call, or where the next call begins. Quotes of both kinds are known, so
// tags and braces inside of strings are data; in a value whose strings don't
// close, the first closing tag ends it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rapid {

struct JsonExtent {
  bool decided = false;   // false: more text must tell
  size_t end = 0;         // of the value's text
  size_t next = 0;        // where to go on: behind the closing tag, if any
  bool closed = false;    // a closing tag, or the value is complete
  bool complete = false;  // its brackets are balanced
  // Text between the value and its closing tag that belongs to neither.
  std::string_view junk = {};
  size_t looked = 0;  // how far one had to look for all that
};

// `text[begin]` is { or [. `closers`: tags that end the call; none = nothing
// follows the value. `starts`: tags with which another call begins. `quote`:
// one more mark around strings, without escapes, or "".
JsonExtent json_extent(
    std::string_view text,
    size_t begin,
    std::span<const std::string> closers,
    std::span<const std::string> starts,
    bool end,
    std::string_view quote = {});

}  // namespace rapid
