// OpenClaw: /v1/chat/completions, told by its configuration.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  const Json provider = {
      {"baseUrl", target.v1()},
      {"apiKey", target.some_key()},
      {"api", "openai-completions"},
      {"models", Json::array({listed_model(target)})}};
  return {
      .edits =
          {{"~/.openclaw/openclaw.json",
            "OPENCLAW_STATE_DIR",
            ConfigSyntax::json,
            {{"models", {{"providers", {{"rapid-mlx", provider}}}}},
             {"agents",
              {{"defaults",
                {{"model", {{"primary", "rapid-mlx/" + target.model}}}}}}}}}},
      .launch = {"openclaw", "tui"},
      .headless = {
          "openclaw", "agent", "--local", "--agent", "main", "--message"}};
}

}  // namespace

void register_agent_openclaw(AgentRegistry& registry) {
  registry.add(
      {.name = "openclaw",
       .title = "OpenClaw",
       .aliases = {"claw"},
       .program = "openclaw",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g openclaw",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
