// Continue, in an editor or as `cn`: /v1/chat/completions.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .edits =
          {{"~/.continue/config.yaml",
            "",
            ConfigSyntax::yaml,
            {{"name", "local"},
             {"version", "1.0.0"},
             {"schema", "v1"},
             {"models",
              Json::array(
                  {{{"name", "rapid-mlx"},
                    {"provider", "openai"},
                    {"model", target.model},
                    {"apiBase", target.v1()},
                    {"apiKey", target.some_key()},
                    {"roles", {"chat", "edit", "apply"}},
                    {"capabilities", Json::array({"tool_use"})},
                    {"defaultCompletionOptions",
                     {{"contextLength", target.context}}}}})}}}},
      .launch = {"cn"},
      .headless = {"cn", "--auto", "-p"}};
}

}  // namespace

void register_agent_continue_dev(AgentRegistry& registry) {
  registry.add(
      {.name = "continue",
       .title = "Continue",
       .aliases = {"continue-dev", "cn"},
       .program = "cn",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g @continuedev/cli",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
