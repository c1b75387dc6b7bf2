// PydanticAI, a library for Python.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment = library_variables(target),
      .snippet =
          "from pydantic_ai import Agent\n"
          "from pydantic_ai.models.openai import OpenAIChatModel\n"
          "from pydantic_ai.providers.openai import OpenAIProvider\n\n"
          "agent = Agent(OpenAIChatModel(\n    \"" +
          target.model + "\", provider=OpenAIProvider(\n        base_url=\"" +
          target.v1() + "\", api_key=\"" + target.some_key() +
          "\")))\n"
          "print(agent.run_sync(\"Hello\").output)\n"};
}

}  // namespace

void register_agent_pydantic_ai(AgentRegistry& registry) {
  registry.add(
      {.name = "pydantic-ai",
       .title = "PydanticAI",
       .speaks = "/v1/chat/completions",
       .install = "pip install pydantic-ai",
       .plan = plan});
}

}  // namespace rapid
