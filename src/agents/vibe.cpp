// Mistral Vibe: /v1/chat/completions, told by a provider and a model of it.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .edits =
          {{"~/.vibe/config.toml",
            "VIBE_HOME",
            ConfigSyntax::toml,
            {{"active_model", "rapid-mlx"},
             {"providers",
              Json::array(
                  {{{"name", "rapid-mlx"},
                    {"api_base", target.v1()},
                    {"api_key_env_var", "RAPID_MLX_API_KEY"},
                    {"api_style", "openai"},
                    {"backend", "generic"}}})},
             {"models",
              Json::array(
                  {{{"name", target.model},
                    {"provider", "rapid-mlx"},
                    {"alias", "rapid-mlx"},
                    {"temperature", 0.2}}})}}}},
      .environment = {{"RAPID_MLX_API_KEY", target.some_key()}},
      .launch = {"vibe"},
      .headless = {"vibe", "--auto-approve", "--trust", "-p"}};
}

}  // namespace

void register_agent_vibe(AgentRegistry& registry) {
  registry.add(
      {.name = "vibe",
       .title = "Mistral Vibe",
       .aliases = {"mistral-vibe"},
       .program = "vibe",
       .speaks = "/v1/chat/completions",
       .install = "pip install mistral-vibe",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
