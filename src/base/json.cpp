#include "base/json.h"

#include <fmt/format.h>

namespace rapid {

namespace {

// The parser recurses on nesting, so depth is checked before it runs.
bool too_deep(std::string_view text, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) {
        return true;
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text, int max_depth) {
  if (too_deep(text, max_depth)) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("JSON is nested deeper than {} levels", max_depth)};
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("not valid JSON at byte {}", e.byte)};
  } catch (const Json::exception& e) {
    return Error{ErrorCode::invalid_argument, e.what()};
  }
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rapid
