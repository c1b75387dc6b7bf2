#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "agents/registry.h"
#include "agents/setup.h"
#include "base/child_process.h"
#include "cli/agent_target.h"
#include "cli/agent_trial.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"

namespace rapid {

namespace {

struct AgentsOptions {
  std::string name;  // "" or "list": all
  bool setup = false;
  bool undo = false;
  bool test = false;
  bool dry_run = false;
  bool json = false;
  AgentTargetFlags target;
};

bool is_found(const AgentProfile& profile) {
  return !profile.program.empty() && bool(find_program(profile.program));
}

int list_agents(bool json) {
  const AgentPlaces places = AgentPlaces::of_this_user();
  Json out = Json::array();
  Table table({{"NAME"}, {"AGENT"}, {"SPEAKS"}, {"HERE"}, {"SET UP"}});
  for (const AgentProfile& profile : AgentRegistry::global().all()) {
    const bool set_up = is_set_up(profile.name, places);
    const bool found = is_found(profile);
    out.push_back(
        {{"name", profile.name},
         {"title", profile.title},
         {"aliases", profile.aliases},
         {"route", profile.speaks},
         {"found", found},
         {"set_up", set_up},
         {"install", profile.install},
         {"obstacle", profile.obstacle},
         {"least_context", profile.least_context}});
    table.row(
        {profile.name,
         profile.title,
         profile.obstacle.empty() ? profile.speaks : "cannot reach localhost",
         found ? "yes" : "",
         set_up ? "yes" : ""});
  }
  if (json) {
    print_json(out);
  } else {
    fmt::print(
        "{}\n`rapid-mlx agents NAME` shows what it needs, --setup writes it, "
        "`rapid-mlx launch NAME` starts it.\n",
        table.text());
  }
  return kExitDone;
}

int show(const AgentProfile& profile, const AgentPlan& plan, bool json) {
  if (json) {
    print_json(plan_json(profile, plan));
    return kExitDone;
  }
  fmt::print("{}, over {}\n", profile.title, profile.speaks);
  if (!profile.obstacle.empty()) {
    fmt::print("\n{}.\n", profile.obstacle);
  }
  if (!profile.program.empty() && !is_found(profile)) {
    fmt::print("\nNot installed: {}\n", profile.install);
  }
  if (!plan.environment.empty()) {
    fmt::print("\nVariables:\n{}", shell_exports(plan.environment));
  }
  for (const ConfigEdit& edit : plan.edits) {
    fmt::print("\nIn {}:\n{}\n", edit.path, edit.patch.dump(2));
  }
  if (!plan.setup_command.empty()) {
    fmt::print("\nSet up by:\n{}\n", shell_command(plan.setup_command));
  }
  if (!plan.snippet.empty()) {
    fmt::print("\n{}", plan.snippet);
  }
  if (!plan.launch.empty()) {
    fmt::print(
        "\nStart it with `rapid-mlx launch {}`{}.\n",
        profile.name,
        profile.needs_setup ? " after `--setup`" : "");
  }
  return kExitDone;
}

void print_changes(const std::vector<FileChange>& changes, bool removes) {
  for (const FileChange& change : changes) {
    if (removes && !change.existed) {
      fmt::print("{}: removed\n", change.path.string());
    } else if (!change.needed()) {
      fmt::print("{}: is so already\n", change.path.string());
    } else {
      fmt::print("{}:\n{}", change.path.string(), change.diff());
    }
  }
}

Json changes_json(const std::vector<FileChange>& changes) {
  Json out = Json::array();
  for (const FileChange& change : changes) {
    out.push_back(
        {{"path", change.path.string()},
         {"changed", change.needed()},
         {"diff", change.diff()}});
  }
  return out;
}

Status run_setup_command(const AgentProfile& profile, const AgentPlan& plan) {
  if (!is_found(profile)) {
    return Error{
        ErrorCode::not_found,
        profile.program + " is not installed",
        profile.install};
  }
  RAPID_TRY(auto child, ChildProcess::spawn(plan.setup_command));
  RAPID_TRY(const auto exit, child.wait());
  if (!exit.ok()) {
    return Error{
        ErrorCode::io,
        fmt::format(
            "{} ended with {}: {}",
            shell_command(plan.setup_command),
            exit.reason(),
            last_lines(exit.err, 3))};
  }
  return {};
}

Status set_up(
    const AgentsOptions& options,
    const AgentProfile& profile,
    const AgentPlan& plan) {
  const AgentPlaces places = AgentPlaces::of_this_user();
  RAPID_TRY(const auto changes, planned_changes(plan, places));
  if (options.json) {
    print_json({{"name", profile.name}, {"files", changes_json(changes)}});
  } else {
    print_changes(changes, false);
  }
  if (options.dry_run) {
    if (!options.json && !plan.setup_command.empty()) {
      fmt::print("would run: {}\n", shell_command(plan.setup_command));
    }
    return {};
  }
  RAPID_CHECK(apply(profile.name, changes, places));
  if (!plan.setup_command.empty()) {
    RAPID_CHECK(run_setup_command(profile, plan));
  }
  if (!options.json) {
    fmt::print(
        "{} is set up; `rapid-mlx agents {} --undo` takes it back.\n",
        profile.title,
        profile.name);
    if (!plan.environment.empty()) {
      fmt::print(
          "`rapid-mlx launch {}` starts it with the variables that it needs.\n",
          profile.name);
    }
  }
  return {};
}

Status take_back(const AgentsOptions& options, const AgentProfile& profile) {
  const AgentPlaces places = AgentPlaces::of_this_user();
  RAPID_TRY(const auto changes, undo_changes(profile.name, places));
  if (options.json) {
    print_json({{"name", profile.name}, {"files", changes_json(changes)}});
  } else {
    print_changes(changes, true);
  }
  return options.dry_run ? Status() : undo(profile.name, changes, places);
}

int run(const AgentsOptions& options) {
  if (options.name.empty() || options.name == "list") {
    return list_agents(options.json);
  }
  const auto profile = AgentRegistry::global().find(options.name);
  if (!profile) {
    return report(profile.error());
  }
  if (options.setup + options.undo + options.test > 1) {
    return report_usage({.what = "one of --setup, --undo, --test at a time"});
  }
  if (options.undo) {
    const Status done = take_back(options, **profile);
    return done ? kExitDone : report(done.error());
  }
  const FoundTarget found = find_target(options.target);
  print_notes(**profile, found);
  const AgentPlan plan = (*profile)->plan(found.target);
  if (options.test) {
    const Status done = try_agent(**profile, plan);
    return done ? kExitDone : report(done.error());
  }
  if (!options.setup) {
    return show(**profile, plan, options.json);
  }
  if (!(*profile)->obstacle.empty()) {
    return report(
        {ErrorCode::unsupported,
         (*profile)->obstacle,
         "rapid-mlx agents " + (*profile)->name});
  }
  if (plan.edits.empty() && plan.setup_command.empty()) {
    fmt::print(
        "{} needs no file: `rapid-mlx launch {}`, or set the variables "
        "yourself.\n\n{}{}",
        (*profile)->title,
        (*profile)->name,
        shell_exports(plan.environment),
        plan.snippet);
    return kExitDone;
  }
  const Status done = set_up(options, **profile, plan);
  return done ? kExitDone : report(done.error());
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<AgentsOptions>();
  app.add_option("name", options->name, "Which; without it all are listed")
      ->option_text("[NAME]");
  app.add_flag(
      "--setup",
      options->setup,
      "Write its configuration: merged, backed up, shown");
  app.add_flag("--undo", options->undo, "Take that back");
  app.add_flag("--test", options->test, "Let it do one small task");
  app.add_flag("--dry-run", options->dry_run, "Show the change only");
  options->target.add(app);
  add_json_flag(app, options->json);
  return [options] { return run(*options); };
}

}  // namespace

void register_command_agents(CommandTable& table) {
  table.add({
      .name = "agents",
      .summary = "Set an agent up to use the server here",
      .examples = "Examples:\n"
                  "  rapid-mlx agents\n"
                  "  rapid-mlx agents NAME --setup --dry-run\n"
                  "  rapid-mlx agents NAME --undo\n",
      .order = 40,
      .group = "Agents",
      .configure = configure,
  });
}

}  // namespace rapid
