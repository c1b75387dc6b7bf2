// pi: any of the three dialects; we give it /v1/chat/completions.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  const Json provider = {
      {"baseUrl", target.v1()},
      {"api", "openai-completions"},
      {"apiKey", target.some_key()},
      {"models", Json::array({listed_model(target)})}};
  return {
      .edits =
          {{"~/.pi/agent/models.json",
            "PI_CODING_AGENT_DIR",
            ConfigSyntax::json,
            {{"providers", {{"rapid-mlx", provider}}}}}},
      .launch = {"pi", "--provider", "rapid-mlx", "--model", target.model},
      .headless = {
          "pi", "--provider", "rapid-mlx", "--model", target.model, "-p"}};
}

}  // namespace

void register_agent_pi(AgentRegistry& registry) {
  registry.add(
      {.name = "pi",
       .title = "pi",
       .program = "pi",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g @mariozechner/pi-coding-agent",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
