#include <fmt/format.h>

#include <memory>

#include <CLI/CLI.hpp>

#include "cli/agent_target.h"
#include "cli/command.h"
#include "cli/options.h"

namespace rapid {

namespace {

struct ConnectOptions {
  AgentTargetFlags target;
  bool json = false;
};

int connect(const ConnectOptions& options) {
  const FoundTarget found = find_target(options.target);
  const AgentTarget& target = found.target;
  if (options.json) {
    print_json(
        {{"base_url", target.v1()},
         {"root", target.root},
         {"model", target.model},
         {"context_length", target.context},
         {"api_key", target.some_key()},
         {"answers", found.trouble.empty()}});
    return kExitDone;
  }
  fmt::print(
      "Base URL  {}   (clients that add /v1 themselves: {})\n"
      "Model     {}\n"
      "Context   {}\n"
      "API key   {}\n",
      target.v1(),
      target.root,
      target.model,
      target.context,
      target.key.empty() ? "any, for example \"local\"" : target.key);
  if (!found.trouble.empty()) {
    fmt::print(
        "\nNothing answers there yet ({}): rapid-mlx serve\n", found.trouble);
  }
  fmt::print("\nAgents: rapid-mlx agents\n");
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<ConnectOptions>();
  options->target.add(app);
  add_json_flag(app, options->json);
  return [options] { return connect(*options); };
}

}  // namespace

void register_command_connect(CommandTable& table) {
  table.add({
      .name = "connect",
      .summary = "Say what any client needs to know",
      .order = 42,
      .group = "Agents",
      .configure = configure,
  });
}

}  // namespace rapid
