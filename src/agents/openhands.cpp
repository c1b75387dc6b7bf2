// OpenHands: /v1/chat/completions, told by variables.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment =
          {{"LLM_BASE_URL", target.v1()},
           {"LLM_API_KEY", target.some_key()},
           {"LLM_MODEL", "openai/" + target.model},
           {"LITELLM_LOCAL_MODEL_COST_MAP", "True"}},
      .launch = {"openhands", "--override-with-envs"},
      .headless = {
          "openhands",
          "--headless",
          "--always-approve",
          "--override-with-envs",
          "-t"}};
}

}  // namespace

void register_agent_openhands(AgentRegistry& registry) {
  registry.add(
      {.name = "openhands",
       .title = "OpenHands",
       .program = "openhands",
       .speaks = "/v1/chat/completions",
       .install = "pip install openhands",
       .plan = plan});
}

}  // namespace rapid
