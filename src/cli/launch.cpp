#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <CLI/CLI.hpp>

#include "agents/registry.h"
#include "agents/setup.h"
#include "base/child_process.h"
#include "cli/agent_target.h"
#include "cli/command.h"
#include "cli/options.h"

namespace rapid {

namespace {

struct LaunchOptions {
  std::string name;
  std::vector<std::string> arguments;  // for the agent
  bool dry_run = false;
  bool json = false;
  AgentTargetFlags target;
};

// This process becomes the agent.
int become(const Environment& environment, std::vector<std::string> command) {
  for (const auto& [name, value] : environment) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> arguments;
  for (std::string& word : command) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  return report(
      {ErrorCode::io,
       fmt::format("cannot start {}: {}", command[0], std::strerror(errno))});
}

int launch(const LaunchOptions& options) {
  const auto profile = AgentRegistry::global().find(options.name);
  if (!profile) {
    return report(profile.error());
  }
  const FoundTarget found = find_target(options.target);
  const AgentPlan plan = (*profile)->plan(found.target);
  if (!(*profile)->obstacle.empty() || plan.launch.empty()) {
    return report(
        {ErrorCode::unsupported,
         (*profile)->obstacle.empty()
             ? (*profile)->title + " is not started from a terminal"
             : (*profile)->obstacle,
         "rapid-mlx agents " + (*profile)->name});
  }
  std::vector<std::string> command = plan.launch;
  command.insert(
      command.end(), options.arguments.begin(), options.arguments.end());
  if (options.dry_run || options.json) {
    if (options.json) {
      Json out = plan_json(**profile, plan);
      out["launch"] = command;
      print_json(out);
    } else {
      fmt::print(
          "{}{}\n", shell_exports(plan.environment), shell_command(command));
    }
    return kExitDone;
  }
  if (!find_program(command[0])) {
    return report(
        {ErrorCode::not_found,
         command[0] + " is not installed",
         (*profile)->install});
  }
  if (!found.trouble.empty()) {
    return report(does_not_answer(found));
  }
  if ((*profile)->needs_setup &&
      !is_set_up((*profile)->name, AgentPlaces::of_this_user())) {
    return report(
        {ErrorCode::not_found,
         (*profile)->title + " reads its server from a file",
         "first: rapid-mlx agents " + (*profile)->name + " --setup"});
  }
  print_notes(**profile, found);
  return become(plan.environment, std::move(command));
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<LaunchOptions>();
  app.add_option("name", options->name, "Which agent")
      ->option_text("NAME")
      ->required();
  app.add_option(
         "arguments", options->arguments, "For the agent itself, behind --")
      ->option_text("[-- ARGUMENT...]");
  app.add_flag("--dry-run", options->dry_run, "Print the command only");
  options->target.add(app);
  add_json_flag(app, options->json);
  return [options] { return launch(*options); };
}

}  // namespace

void register_command_launch(CommandTable& table) {
  table.add({
      .name = "launch",
      .summary = "Start an agent on the server here",
      .examples = "Examples:\n"
                  "  rapid-mlx launch NAME\n"
                  "  rapid-mlx launch NAME -- --help\n"
                  "  rapid-mlx launch NAME --dry-run\n",
      .order = 41,
      .group = "Agents",
      .configure = configure,
  });
}

}  // namespace rapid
