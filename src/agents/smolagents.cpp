// smolagents, a library for Python.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment = library_variables(target),
      .snippet =
          "from smolagents import OpenAIModel, ToolCallingAgent\n\n"
          "model = OpenAIModel(model_id=\"" +
          target.model + "\", api_base=\"" + target.v1() +
          "\",\n                    api_key=\"" + target.some_key() +
          "\")\n"
          "print(ToolCallingAgent(tools=[], model=model).run(\"Hello\"))\n"};
}

}  // namespace

void register_agent_smolagents(AgentRegistry& registry) {
  registry.add(
      {.name = "smolagents",
       .title = "smolagents",
       .speaks = "/v1/chat/completions",
       .install = "pip install smolagents[openai]",
       .plan = plan});
}

}  // namespace rapid
