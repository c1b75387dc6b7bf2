// Cline: /v1/chat/completions; its command line has a command of its own to
// set it up, the editor's extension a window.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .setup_command =
          {"cline",
           "auth",
           "-p",
           "openai",
           "-k",
           target.some_key(),
           "-m",
           target.model,
           "-b",
           target.v1()},
      .launch = {"cline"},
      .headless = {"cline", "--json"},
      .snippet =
          "In the extension's settings choose \"OpenAI Compatible\" and "
          "enter\n  Base URL  " +
          target.v1() + "\n  API key   " + target.some_key() +
          "\n  Model ID  " + target.model + "\n"};
}

}  // namespace

void register_agent_cline(AgentRegistry& registry) {
  registry.add(
      {.name = "cline",
       .title = "Cline",
       .program = "cline",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g cline",
       .plan = plan});
}

}  // namespace rapid
