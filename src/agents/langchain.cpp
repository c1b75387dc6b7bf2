// LangChain, a library for Python.
#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .environment = library_variables(target),
      .snippet =
          "from langchain_openai import ChatOpenAI\n\n"
          "model = ChatOpenAI(model=\"" +
          target.model + "\", base_url=\"" + target.v1() +
          "\",\n                   api_key=\"" + target.some_key() +
          "\")\n"
          "print(model.invoke(\"Hello\").content)\n"};
}

}  // namespace

void register_agent_langchain(AgentRegistry& registry) {
  registry.add(
      {.name = "langchain",
       .title = "LangChain",
       .speaks = "/v1/chat/completions",
       .install = "pip install langchain-openai",
       .plan = plan});
}

}  // namespace rapid
