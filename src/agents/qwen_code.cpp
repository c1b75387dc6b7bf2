// Qwen Code: /v1/chat/completions, told by variables.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment =
          {{"OPENAI_API_KEY", target.some_key()},
           {"OPENAI_BASE_URL", target.v1()},
           {"OPENAI_MODEL", target.model}},
      .launch = {"qwen", "--auth-type", "openai"},
      .headless = {"qwen", "--auth-type", "openai", "--yolo", "-p"}};
}

}  // namespace

void register_agent_qwen_code(AgentRegistry& registry) {
  registry.add(
      {.name = "qwen-code",
       .title = "Qwen Code",
       .aliases = {"qwen"},
       .program = "qwen",
       .speaks = "/v1/chat/completions",
       .install = "npm install -g @qwen-code/qwen-code",
       .plan = plan});
}

}  // namespace rapid
