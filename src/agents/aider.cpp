// Aider: /v1/chat/completions without tools; edits stand in its answers.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  const std::string model = "openai/" + target.model;
  return {
      .environment =
          {{"OPENAI_API_BASE", target.v1()},
           {"OPENAI_API_KEY", target.some_key()}},
      .launch = {"aider", "--model", model, "--no-show-model-warnings"},
      .headless = {
          "aider",
          "--model",
          model,
          "--no-show-model-warnings",
          "--no-check-update",
          "--no-analytics",
          "--yes-always",
          "--message"}};
}

}  // namespace

void register_agent_aider(AgentRegistry& registry) {
  registry.add(
      {.name = "aider",
       .title = "Aider",
       .program = "aider",
       .speaks = "/v1/chat/completions",
       .install = "pip install aider-chat",
       .plan = plan});
}

}  // namespace rapid
