// A configuration file of somebody else's program, changed in the keys of a
// patch only. TOML and YAML are edited as text: comments, order and layout of
// everything else stay. JSON is written anew with its own indentation; its
// comments are lost.
//
// A patch is an object, merged member by member. null takes a member away. In
// lists of objects with a "name" or an "id" the item of that name is merged,
// or added at the end; {"name": ..., "$remove": true} takes it away. Any
// other list is replaced.
//
// Every edit is parsed again and compared with the merged values: a file whose
// layout the editor does not understand is an error, never a broken file.
// Errors: corrupt (the text does not parse), unsupported. Pure functions.
//
//   RAPID_TRY(auto text, patch_config(ConfigSyntax::toml, old, patch));
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

enum class ConfigSyntax { json, toml, yaml };

// Empty text is an empty object.
Result<Json> parse_config(ConfigSyntax syntax, std::string_view text);

void merge_patch(Json& into, const Json& patch);

// The patch that brings `before` back once `patch` was merged.
Json inverse_patch(const Json& before, const Json& patch);

Result<std::string> patch_config(
    ConfigSyntax syntax, std::string_view text, const Json& patch);

}  // namespace rapid
