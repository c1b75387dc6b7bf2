// Defaults that a user set for options of commands: home_dir() /
// "config.json", {"serve": {"port": "9000", "exact": "true"}}. They stand for
// options that neither the command line nor an environment variable gives.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace CLI {
class App;
}

namespace rapid {

std::filesystem::path settings_file();

// {} when there is no file. Errors: corrupt names the file.
Result<Json> read_settings();
Status write_settings(const Json& settings);

// Puts the settings of `command` before the arguments that lack them. What
// `app` no longer knows is left out. Pure.
std::vector<std::string> with_settings(
    const Json& settings,
    const std::string& command,
    CLI::App& app,
    std::vector<std::string> arguments);

}  // namespace rapid
