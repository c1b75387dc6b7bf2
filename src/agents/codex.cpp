// Codex: /v1/responses, told by a provider in its configuration.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  Json provider = {
      {"name", "rapid-mlx"},
      {"base_url", target.v1()},
      {"wire_api", "responses"}};
  if (!target.key.empty()) {
    provider["env_key"] = "RAPID_MLX_API_KEY";
  }
  return {
      .edits =
          {{"~/.codex/config.toml",
            "CODEX_HOME",
            ConfigSyntax::toml,
            {{"model", target.model},
             {"model_provider", "rapid-mlx"},
             {"model_context_window", target.context},
             {"model_providers", {{"rapid-mlx", provider}}}}}},
      .environment = {{"RAPID_MLX_API_KEY", target.some_key()}},
      .launch = {"codex"},
      .headless = {
          "codex",
          "exec",
          "--skip-git-repo-check",
          "--dangerously-bypass-approvals-and-sandbox"}};
}

}  // namespace

void register_agent_codex(AgentRegistry& registry) {
  registry.add(
      {.name = "codex",
       .title = "Codex CLI",
       .program = "codex",
       .speaks = "/v1/responses",
       .install = "npm install -g @openai/codex",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
