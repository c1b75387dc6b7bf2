// YAML as configuration files have it: the blocks of top-level keys that
// change are written anew, the rest stays as text. See config_document.h,
// which checks every result.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

// Plain scalars get YAML 1.2's types. Errors: corrupt, with the parser's words.
Result<Json> parse_yaml(std::string_view text);

// Brings a text that says `before` to say `after`.
std::string edit_yaml(
    std::string_view text, const Json& before, const Json& after);

}  // namespace rapid
