#include <cstdio>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/completion_scripts.h"

namespace rapid {

namespace {

std::function<int()> configure(CLI::App&) {
  return [] {
    CommandTable table;
    register_all_commands(table);
    std::fputs(
        man_page(command_tree(table), RAPID_MLX_VERSION).c_str(), stdout);
    return kExitDone;
  };
}

}  // namespace

void register_command_man(CommandTable& table) {
  table.add({
      .name = "man",
      .summary = "Print the man page",
      .examples = "Example:\n"
                  "  rapid-mlx man > "
                  "/usr/local/share/man/man1/rapid-mlx.1\n",
      .order = 93,
      .group = "About",
      .configure = configure,
  });
}

}  // namespace rapid
