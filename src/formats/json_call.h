// Tool calls written as one JSON object: {"name": ..., "arguments": {...}}.
// Shared by the formats that have such a body.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rapid {

// Walks over one JSON object as it arrives and tells where it ends. Strings
// are skipped, so braces and tags inside them are data.
class JsonScan {
 public:
  // Looks at text[position(), ...), which is all input of this object so far
  // from its '{' at text[0] on. Stops behind the closing brace, or before a
  // '<' outside of strings (then at_tag() is true until step_over_tag()).
  void advance(std::string_view text);

  size_t position() const { return position_; }
  bool complete() const { return started_ && closers_.empty(); }
  bool at_tag() const { return at_tag_; }
  void step_over_tag();
  bool in_string() const { return in_string_; }
  // What would close everything that is open, innermost first.
  std::string missing() const;

 private:
  size_t position_ = 0;
  std::string closers_;
  bool started_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
  bool at_tag_ = false;
};

struct JsonCall {
  std::string name;
  std::string arguments;       // a JSON object, byte for byte if it was one
  bool has_arguments = false;  // the key was there
};

// Reads {"name"|"function": string, "arguments"|"parameters": object}, also
// inside {"function": {...}}. Recovers what is certain: missing closing
// braces, doubled outer braces, arguments given as a string of JSON, no
// arguments at all. The error says why it is not a call.
Result<JsonCall> parse_json_call(std::string_view text);

}  // namespace rapid
