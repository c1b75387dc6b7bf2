// Calls written as Python: [read(path="/a"), add(a=1, b=[2, 3])], or one call
// without the list. Values are Python's literals and JSON's: strings with any
// quotes, prefixes (r b u f) and escapes, several strings in a row, numbers
// (1_000, 0x10), True and true, None and null, lists, tuples and sets (arrays),
// dicts. A bare name is text, and so is any other expression, as written.
//   Arguments are keywords, the last of equal ones counts; ** before a dict
// merges it. The only other argument is one JSON object: f({"a": 1}).
//   A list or call that the text's end cuts is closed there, but a value that
// is cut is not kept and makes the call incomplete.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace rapid {

struct PythonCall {
  std::string name;      // letters, digits, _ . -
  Json arguments;        // an object
  size_t consumed = 0;   // bytes of the text up to the end of this call
  bool complete = true;  // false: its end was cut off
};

// Reads the list or the call at the start of `text`, behind white space; what
// follows it is not looked at. The error says why it is neither. Linear in the
// text, nested at most 64 levels deep, never throws.
Result<std::vector<PythonCall>> parse_python_calls(std::string_view text);

// Walks over a bracketed list as it arrives and tells where it ends. Strings,
// also of three quotes, are skipped.
class PythonListScan {
 public:
  // Looks at text[position(), ...), which is all input from '[' at text[0] on.
  void advance(std::string_view text);

  size_t position() const { return position_; }
  // The text up to position() is the list.
  bool complete() const { return complete_; }
  // Does not begin with a bracket, or closes one that is not open.
  bool broken() const { return broken_; }
  bool in_string() const { return !quote_.empty(); }

 private:
  size_t step(std::string_view text);

  size_t position_ = 0;
  std::string closers_;
  std::string quote_;
  bool complete_ = false;
  bool broken_ = false;
};

// The index behind the list that starts at text[0]; npos when it is not all
// there.
size_t python_list_end(std::string_view text);

}  // namespace rapid
