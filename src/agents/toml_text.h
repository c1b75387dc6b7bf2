// TOML as configuration files have it, edited line by line. See
// config_document.h, which checks every result.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

// Dates and times become text. Errors: corrupt, with the parser's words.
Result<Json> parse_toml(std::string_view text);

// Brings a text that says `before` to say `after`.
std::string edit_toml(
    std::string_view text, const Json& before, const Json& after);

}  // namespace rapid
