// OpenCode: /v1/chat/completions through the AI SDK.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  const Json model = {
      {"name", target.model},
      {"tool_call", true},
      {"reasoning", true},
      {"limit", {{"context", target.context}, {"output", 8192}}}};
  const std::string chosen = "rapid-mlx/" + target.model;
  const Json provider = {
      {"npm", "@ai-sdk/openai-compatible"},
      {"name", "rapid-mlx"},
      {"options", {{"baseURL", target.v1()}, {"apiKey", target.some_key()}}},
      {"models", {{target.model, model}}}};
  return {
      .edits =
          {{"~/.config/opencode/opencode.json",
            "",
            ConfigSyntax::json,
            {{"$schema", "https://opencode.ai/config.json"},
             {"provider", {{"rapid-mlx", provider}}},
             {"model", chosen},
             {"small_model", chosen}}}},
      .launch = {"opencode"},
      .headless = {"opencode", "run", "-m", chosen}};
}

}  // namespace

void register_agent_opencode(AgentRegistry& registry) {
  registry.add(
      {.name = "opencode",
       .title = "OpenCode",
       .program = "opencode",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g opencode-ai",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
