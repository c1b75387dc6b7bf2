// Names that a user gave to models: home_dir() / "aliases.json", an object
// {"version": 1, "aliases": {name: MODEL}}. They come before the catalogue's
// names; a target is a MODEL as anywhere else, but no other user's alias.
//
// Written by rename; a file that is no such object is an error, never
// overwritten.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rapid {

using UserAlias = std::pair<std::string, std::string>;  // name, target

std::filesystem::path user_aliases_file();

Result<std::vector<UserAlias>> user_aliases();  // by name

// "" when the user has no such alias, or the file cannot be read.
std::string user_alias_target(std::string_view name);

// Errors: invalid_argument (a name that is not [A-Za-z0-9][A-Za-z0-9._-]{0,63},
// or a target that is one of the user's names), corrupt, io.
Status set_user_alias(const std::string& name, const std::string& target);

// not_found when there is none.
Status remove_user_alias(const std::string& name);

}  // namespace rapid
