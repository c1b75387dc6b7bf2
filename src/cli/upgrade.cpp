#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>

#include "base/platform.h"
#include "cli/agent_target.h"
#include "cli/command.h"
#include "cli/confirm.h"
#include "cli/installation.h"

namespace rapid {

namespace {

struct UpgradeOptions {
  std::string from;
  bool yes = false;
  bool dry_run = false;
};

int upgrade(const UpgradeOptions& options) {
  const Installation here = find_installation(program_path());
  fmt::print(
      "rapid-mlx {}, installed by {}\n", RAPID_MLX_VERSION, describe(here));
  const auto command = upgrade_command(here, options.from);
  if (!command) {
    return report(command.error());
  }
  fmt::print("  runs  {}\n", shell_command(*command));
  std::fflush(stdout);
  if (options.dry_run) {
    return kExitDone;
  }
  if (const auto refused = confirm("Upgrade?", options.yes)) {
    return *refused;
  }
  const auto exit = run_in_sight(*command);
  if (!exit) {
    return report(exit.error());
  }
  if (*exit != 0) {
    return report(
        {ErrorCode::io,
         fmt::format("it ended with exit status {}", *exit),
         "nothing else was changed"});
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<UpgradeOptions>();
  app.add_option(
         "--from",
         options->from,
         "A wheel or .deb to take, not the newest published one")
      ->check(CLI::ExistingFile);
  app.add_flag("-y,--yes", options->yes, "Do not ask");
  app.add_flag("--dry-run", options->dry_run, "Only say what would be done");
  return [options] { return upgrade(*options); };
}

}  // namespace

void register_command_upgrade(CommandTable& table) {
  table.add({
      .name = "upgrade",
      .summary = "Take a newer version, the way this one came",
      .examples = "Examples:\n"
                  "  rapid-mlx upgrade --dry-run\n"
                  "  rapid-mlx upgrade --from dist/rapid_mlx-*.whl\n",
      .order = 92,
      .group = "About",
      .configure = configure,
  });
}

}  // namespace rapid
