#include "cli/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <span>

#include <CLI/CLI.hpp>

#include "base/home.h"
#include "hub/file_writer.h"
#include "hub/text_file.h"

namespace rapid {
namespace {

// Does the user give this option, as --name, --name=value, -n or -nVALUE?
bool given(
    const CLI::Option& option, const std::vector<std::string>& arguments) {
  const auto is_it = [&](const std::string& argument) {
    if (argument.starts_with("--")) {
      return option.check_name(argument.substr(0, argument.find('=')));
    }
    return argument.size() > 1 && argument[0] == '-' &&
           option.check_name(argument.substr(0, 2));
  };
  if (std::ranges::any_of(arguments, is_it)) {
    return true;
  }
  const std::string variable = option.get_envname();
  return !variable.empty() && std::getenv(variable.c_str()) != nullptr;
}

// Of two that exclude each other the command line's counts.
bool excluded(
    const CLI::Option& option, const std::vector<std::string>& arguments) {
  return std::ranges::any_of(
      option.get_excludes(),
      [&](const CLI::Option* other) { return given(*other, arguments); });
}

}  // namespace

std::filesystem::path settings_file() {
  return home_dir() / "config.json";
}

Result<Json> read_settings() {
  const auto file = settings_file();
  RAPID_TRY(const std::string text, read_optional_text(file));
  if (text.empty()) {
    return Json(Json::object());
  }
  const auto json = parse_json(text);
  const bool fine =
      json && json->is_object() &&
      std::ranges::all_of(*json, [](const Json& command) {
        return command.is_object() &&
               std::ranges::all_of(command, [](const Json& value) {
                 return value.is_string();
               });
      });
  if (!fine) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("{} does not hold settings", file.string()),
        "mend it or move it away: {\"serve\": {\"port\": \"9000\"}}",
        file.string()};
  }
  return *json;
}

Status write_settings(const Json& settings) {
  const auto file = settings_file();
  RAPID_CHECK(make_folder(file.parent_path()));
  FileWriter writer;
  RAPID_CHECK(writer.open(file.string() + ".new", false));
  const std::string text = settings.dump(2) + "\n";
  RAPID_CHECK(writer.write(std::as_bytes(std::span(text))));
  return writer.commit(file);
}

std::vector<std::string> with_settings(
    const Json& settings,
    const std::string& command,
    CLI::App& app,
    std::vector<std::string> arguments) {
  const auto found = settings.find(command);
  if (found == settings.end()) {
    return arguments;
  }
  std::vector<std::string> first;
  for (const auto& [name, value] : found->items()) {
    const CLI::Option* option = app.get_option_no_throw("--" + name);
    if (option != nullptr && !given(*option, arguments) &&
        !excluded(*option, arguments)) {
      first.push_back(fmt::format("--{}={}", name, value.get<std::string>()));
    }
  }
  arguments.insert(arguments.begin(), first.begin(), first.end());
  return arguments;
}

}  // namespace rapid
