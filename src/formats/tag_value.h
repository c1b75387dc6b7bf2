// Parameters between tags: where a value ends, and what it means.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "formats/tag_syntax.h"

namespace rapid {

// What the end of a value is judged by.
struct ValueBorders {
  const TagShape& shape;
  std::span<const std::string> openers;  // of calls and sections
  const chat::Tool* tool = nullptr;
  bool in_section = false;
  bool end = false;  // no more text follows
};

struct ValueEnd {
  enum class Kind { more, found, cut };
  Kind kind = Kind::more;
  size_t end = 0;                          // of the value
  size_t next = 0;                         // behind its closing tag
  size_t looked = std::string_view::npos;  // so far; npos: to the end
};

// A parameter's name without space and quotes around it.
std::string_view key_text(std::string_view raw);

// `seen`: keys that came before; a sibling that comes again is data.
ValueEnd find_value_end(
    std::string_view text,
    size_t begin,
    const std::set<std::string, std::less<>>& seen,
    const ValueBorders& borders);

// The value of parameter `key`. `attributes`: what stood behind the key.
Json read_value(
    const TagShape& shape,
    const chat::Tool* tool,
    std::string_view key,
    std::string_view attributes,
    std::string_view raw);

// The declared parameters, in the schema's order.
std::vector<CallFrame::Parameter> parameter_frames(
    const TagShape& shape, const chat::Tool& tool);

// JSON without any <, so that no tag can stand in it.
std::string quoted_json(const Json& value);

// Parameters of a call, so that read_value() gives them back.
std::string render_parameters(
    const TagShape& shape, const chat::Tool* tool, const Json& arguments);

}  // namespace rapid
