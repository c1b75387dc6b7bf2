#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "cli/table.h"

namespace rapid {

namespace {

struct ConfigOptions {
  std::string action = "list";
  std::string key;
  std::string value;
  bool all = false;
  bool json = false;
};

struct Key {
  std::string command;
  std::string option;
};

Result<Key> split_key(const std::string& text) {
  const size_t dot = text.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == text.size()) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} is no setting", text),
        "write COMMAND.OPTION, as serve.port"};
  }
  return Key{text.substr(0, dot), text.substr(dot + 1)};
}

CommandTable all_commands() {
  CommandTable table;
  register_all_commands(table);
  return table;
}

// Every option by its key, with what is set of it.
int list(const ConfigOptions& options, const Json& settings) {
  if (options.json && !options.all) {
    print_json(settings);
    return kExitDone;
  }
  Json out = Json::object();
  Table table({{"SETTING"}, {"VALUE"}, {"WHAT"}});
  for (const CommandDoc& command : command_tree(all_commands())) {
    const Json set = settings.value(command.name, Json::object());
    for (const OptionDoc& option : command.options) {
      const std::string& name = option.names.front();
      if (option.positional || option.hidden || !name.starts_with("--") ||
          name == "--help") {
        continue;
      }
      const std::string value = set.value(name.substr(2), "");
      if (options.all || !value.empty()) {
        const std::string key = command.name + "." + name.substr(2);
        out[key] = {
            {"value", value.empty() ? Json() : Json(value)},
            {"takes", option.flag ? "true|false" : option.value},
            {"what", option.description}};
        table.row(
            {key,
             value.empty() ? "[" + (option.flag ? "false" : option.value) + "]"
                           : value,
             option.description});
      }
    }
  }
  if (options.json) {
    print_json(out);
  } else if (out.empty()) {
    fmt::print(
        "nothing is set; `rapid-mlx config list --all` shows what could be\n");
  } else {
    fmt::print("{}", table.text());
  }
  return kExitDone;
}

Status change(const ConfigOptions& options, Json settings) {
  RAPID_TRY(const Key key, split_key(options.key));
  if (options.action == "set") {
    RAPID_CHECK(
        check_option(all_commands(), key.command, key.option, options.value));
    settings[key.command][key.option] = options.value;
  } else {
    if (settings[key.command].erase(key.option) == 0) {
      return Error{
          ErrorCode::not_found,
          fmt::format("{} is not set", options.key),
          "`rapid-mlx config list` shows what is"};
    }
    if (settings[key.command].empty()) {
      settings.erase(key.command);
    }
  }
  return write_settings(settings);
}

int get(const ConfigOptions& options, const Json& settings) {
  const auto key = split_key(options.key);
  if (!key) {
    return report_usage(key.error());
  }
  const std::string value =
      settings.value(key->command, Json::object()).value(key->option, "");
  if (value.empty()) {
    return report(
        {ErrorCode::not_found,
         fmt::format("{} is not set", options.key),
         fmt::format("`rapid-mlx {} --help` shows the default", key->command)});
  }
  fmt::print("{}\n", value);
  return kExitDone;
}

int config(const ConfigOptions& options) {
  const bool needs_key = options.action != "list";
  const bool needs_value = options.action == "set";
  if (needs_key == options.key.empty() ||
      needs_value == options.value.empty()) {
    return report_usage(
        {.what = fmt::format("config {} does not take that", options.action),
         .hint = "config list, config get KEY, config set KEY VALUE, config "
                 "unset KEY; a KEY is COMMAND.OPTION"});
  }
  const auto settings = read_settings();
  if (!settings) {
    return report(settings.error());
  }
  if (options.action == "list") {
    return list(options, *settings);
  }
  if (options.action == "get") {
    return get(options, *settings);
  }
  const Status done = change(options, *settings);
  if (!done) {
    return done.error().code == ErrorCode::invalid_argument
               ? report_usage(done.error())
               : report(done.error());
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<ConfigOptions>();
  app.add_option("ACTION", options->action, "list, get, set or unset")
      ->option_text(" (list)")
      ->check(CLI::IsMember({"list", "get", "set", "unset"}).description(""));
  app.add_option("KEY", options->key, "COMMAND.OPTION, as serve.port")
      ->option_text(" ");
  app.add_option("VALUE", options->value, "Its default from now on")
      ->option_text(" ");
  app.add_flag("--all", options->all, "Also what is not set");
  add_json_flag(app, options->json);
  return [options] { return config(*options); };
}

}  // namespace

void register_command_config(CommandTable& table) {
  table.add({
      .name = "config",
      .summary = "Your own defaults for the options of commands",
      .examples = "What the command line or an environment variable says comes "
                  "first.\n\n"
                  "Examples:\n"
                  "  rapid-mlx config set serve.port 9000\n"
                  "  rapid-mlx config set serve.exact true\n"
                  "  rapid-mlx config list --all\n",
      .order = 80,
      .group = "Set up",
      .configure = configure,
  });
}

}  // namespace rapid
