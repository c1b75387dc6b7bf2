#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>

#include "agents/registry.h"
#include "agents/setup.h"
#include "base/home.h"
#include "base/platform.h"
#include "cli/agent_target.h"
#include "cli/command.h"
#include "cli/confirm.h"
#include "cli/installation.h"
#include "cli/left_behind.h"
#include "cli/table.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

struct UninstallOptions {
  bool models = false;
  bool yes = false;
  bool dry_run = false;
};

std::vector<std::string> agents_set_up() {
  std::vector<std::string> out;
  const AgentPlaces places = AgentPlaces::of_this_user();
  for (const AgentProfile& profile : AgentRegistry::global().all()) {
    if (is_set_up(profile.name, places)) {
      out.push_back(profile.name);
    }
  }
  return out;
}

void take_back(const std::string& agent) {
  const AgentPlaces places = AgentPlaces::of_this_user();
  const auto changes = undo_changes(agent, places);
  const Status done =
      changes ? undo(agent, *changes, places) : Status(changes.error());
  if (!done) {
    report(done.error());
  }
}

void print_plan(
    const std::vector<std::string>& command,
    const std::vector<std::string>& agents,
    const LeftBehind& left) {
  for (const std::string& agent : agents) {
    fmt::print("  takes back the set-up of {}\n", agent);
  }
  fmt::print("  runs     {}\n", shell_command(command));
  for (const auto& [path, bytes] : left.ours) {
    fmt::print("  removes  {} ({})\n", path.string(), human_bytes(bytes));
  }
  for (const auto& [path, bytes] : left.kept) {
    fmt::print(
        "  keeps    {} ({}{})\n",
        path.string(),
        human_bytes(bytes),
        path.filename() == "models" ? "; --models removes it, too" : "");
  }
  std::fflush(stdout);
}

int uninstall(const UninstallOptions& options) {
  const Installation here = find_installation(program_path());
  fmt::print(
      "rapid-mlx {}, installed by {}\n", RAPID_MLX_VERSION, describe(here));
  const auto command = uninstall_command(here);
  if (!command) {
    return report(command.error());
  }
  const char* user = std::getenv("HOME");
  const LeftBehind left = left_behind(
      home_dir(),
      user && *user && home_dir() == fs::path(user) / ".rapid-mlx",
      options.models);
  const auto agents = agents_set_up();
  print_plan(*command, agents, left);
  if (options.dry_run) {
    return kExitDone;
  }
  if (const auto refused = confirm("Uninstall?", options.yes)) {
    return *refused;
  }
  const auto exit = run_in_sight(*command);
  if (!exit || *exit != 0) {
    return report(
        !exit ? exit.error()
              : Error{
                    ErrorCode::io,
                    fmt::format("it ended with exit status {}", *exit),
                    "nothing else was removed"});
  }
  sweep_folders(here);
  for (const std::string& agent : agents) {
    take_back(agent);
  }
  const Status removed = remove_all(left, home_dir());
  return removed ? kExitDone : report(removed.error());
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<UninstallOptions>();
  app.add_flag("--models", options->models, "The downloaded models, too");
  app.add_flag("-y,--yes", options->yes, "Do not ask");
  app.add_flag("--dry-run", options->dry_run, "Only say what would be done");
  return [options] { return uninstall(*options); };
}

}  // namespace

void register_command_uninstall(CommandTable& table) {
  table.add({
      .name = "uninstall",
      .summary = "Remove this program and what it keeps; asks first",
      .examples = "Examples:\n"
                  "  rapid-mlx uninstall --dry-run\n"
                  "  rapid-mlx uninstall --models -y\n",
      .order = 94,
      .group = "About",
      .configure = configure,
  });
}

}  // namespace rapid
