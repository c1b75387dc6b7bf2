// Cursor: its requests come from its maker's servers.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .snippet =
          "With a public https address of your own (a tunnel that asks "
          "for a key)\nset in Cursor's settings under Models > API Keys\n"
          "  Override OpenAI Base URL  https://YOUR-ADDRESS/v1\n"
          "  OpenAI API Key            the key of serve --api-key\n"
          "  Model                     " +
          target.model + "\n"};
}

}  // namespace

void register_agent_cursor(AgentRegistry& registry) {
  registry.add(
      {.name = "cursor",
       .title = "Cursor",
       .speaks = "/v1/chat/completions",
       .obstacle = "Cursor sends requests from its own servers, which cannot "
                   "reach this machine",
       .plan = plan});
}

}  // namespace rapid
