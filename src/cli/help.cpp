#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace rapid {

namespace {

int help(const std::string& topic) {
  CommandTable table;
  register_all_commands(table);
  if (!topic.empty()) {
    return show_command_help(table, topic);
  }
  std::fputs(overview(table).c_str(), stdout);
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto topic = std::make_shared<std::string>();
  app.add_option("COMMAND", *topic, "The command to explain")->option_text(" ");
  return [topic] { return help(*topic); };
}

}  // namespace

void register_command_help(CommandTable& table) {
  table.add({
      .name = "help",
      .summary = "This overview, or the options of one command",
      .order = 91,
      .group = "About",
      .configure = configure,
  });
}

}  // namespace rapid
