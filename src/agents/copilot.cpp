// Copilot CLI with a provider of one's own, offline.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment =
          {{"COPILOT_OFFLINE", "true"},
           {"COPILOT_PROVIDER_TYPE", "openai"},
           {"COPILOT_PROVIDER_BASE_URL", target.v1()},
           {"COPILOT_PROVIDER_API_KEY", target.some_key()},
           {"COPILOT_MODEL", target.model}},
      .launch = {"copilot"},
      .headless = {"copilot", "--allow-all-tools", "--no-color", "-p"}};
}

}  // namespace

void register_agent_copilot(AgentRegistry& registry) {
  registry.add(
      {.name = "copilot",
       .title = "Copilot CLI",
       .aliases = {"copilot-cli"},
       .program = "copilot",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g @github/copilot",
       .plan = plan});
}

}  // namespace rapid
