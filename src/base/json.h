// JSON values keep the order of their keys: tools and arguments are rendered
// into prompts, where order is part of the text.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace rapid {

using Json = nlohmann::ordered_json;

// Parses one JSON text. Refuses nesting deeper than max_depth and text that is
// not UTF-8; the error names the byte.
Result<Json> parse_json(std::string_view text, int max_depth = 128);

// Compact text. Bytes that are not UTF-8 become U+FFFD instead of throwing.
std::string dump_json(const Json& value);

}  // namespace rapid
