// Goose: /v1/chat/completions, told by variables.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment =
          {{"GOOSE_PROVIDER", "openai"},
           {"GOOSE_MODEL", target.model},
           {"OPENAI_HOST", target.root},
           {"OPENAI_BASE_PATH", "v1/chat/completions"},
           {"OPENAI_API_KEY", target.some_key()}},
      .launch = {"goose", "session"},
      .headless = {"goose", "run", "--no-session", "-t"}};
}

}  // namespace

void register_agent_goose(AgentRegistry& registry) {
  registry.add(
      {.name = "goose",
       .title = "Goose",
       .program = "goose",
       .speaks = "/v1/chat/completions",
       .install = "brew install block-goose-cli",
       .plan = plan});
}

}  // namespace rapid
