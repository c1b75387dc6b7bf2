#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/completion_scripts.h"

namespace rapid {

namespace {

int completion(const std::string& shell) {
  CommandTable table;
  register_all_commands(table);
  const auto commands = command_tree(table);
  const std::string script = shell == "bash"  ? bash_completion(commands)
                             : shell == "zsh" ? zsh_completion(commands)
                                              : fish_completion(commands);
  std::fputs(script.c_str(), stdout);
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->option_text(" ")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}).description(""));
  return [shell] { return completion(*shell); };
}

}  // namespace

void register_command_completion(CommandTable& table) {
  table.add({
      .name = "completion",
      .summary = "Print a script that completes commands in a shell",
      .examples = "Examples:\n"
                  "  source <(rapid-mlx completion bash)\n"
                  "  rapid-mlx completion zsh > ~/.zfunc/_rapid-mlx\n"
                  "  rapid-mlx completion fish > "
                  "~/.config/fish/completions/rapid-mlx.fish\n",
      .order = 92,
      .group = "About",
      .configure = configure,
  });
}

}  // namespace rapid
