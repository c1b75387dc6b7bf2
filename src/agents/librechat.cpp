// LibreChat: a custom endpoint in the librechat.yaml of its own folder.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .snippet =
          "Put this into librechat.yaml and start LibreChat again:\n\n"
          "endpoints:\n"
          "  custom:\n"
          "    - name: rapid-mlx\n"
          "      apiKey: " +
          target.some_key() +
          "\n"
          "      baseURL: " +
          target.v1() +
          "\n"
          "      models:\n"
          "        default: [" +
          target.model +
          "]\n"
          "        fetch: true\n"
          "      titleConvo: true\n"
          "      titleModel: " +
          target.model +
          "\n\nIn a container use http://host.docker.internal instead of "
          "localhost.\n"};
}

}  // namespace

void register_agent_librechat(AgentRegistry& registry) {
  registry.add(
      {.name = "librechat",
       .title = "LibreChat",
       .speaks = "/v1/chat/completions",
       .install = "see its own documentation",
       .plan = plan});
}

}  // namespace rapid
