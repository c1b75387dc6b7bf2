// Open WebUI: a server of its own, told by variables when it starts.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment =
          {{"OPENAI_API_BASE_URL", target.v1()},
           {"OPENAI_API_KEY", target.some_key()},
           {"ENABLE_OLLAMA_API", "False"}},
      .launch = {"open-webui", "serve"},
      .snippet =
          "In Admin Settings > Connections add an OpenAI connection\n"
          "  URL  " +
          target.v1() + "\n  Key  " + target.some_key() + "\n"};
}

}  // namespace

void register_agent_open_webui(AgentRegistry& registry) {
  registry.add(
      {.name = "open-webui",
       .title = "Open WebUI",
       .aliases = {"webui"},
       .program = "open-webui",
       .speaks = "/v1/chat/completions",
       .install = "pip install open-webui",
       .plan = plan});
}

}  // namespace rapid
