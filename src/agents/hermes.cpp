// Hermes Agent: /v1/chat/completions, told by its configuration.
#include <fmt/format.h>

#include <array>

#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  return {
      .edits =
          {{"~/.hermes/config.yaml",
            "HERMES_HOME",
            ConfigSyntax::yaml,
            {{"model",
              {{"provider", "custom"},
               {"default", target.model},
               {"base_url", target.v1()},
               {"api_key", target.some_key()},
               {"context_length", target.context}}}}}},
      .launch = {"hermes"},
      .headless = {"hermes", "chat", "-Q", "--yolo", "-q"}};
}

struct ToolShape {
  const char* name;
  const char* what;
  const char* first;  // its parameters
  const char* second;
};

constexpr std::array kTools = {
    ToolShape{"terminal", "runs a command in the shell", "command", "timeout"},
    ToolShape{"process", "looks at a background process", "action", "id"},
    ToolShape{"read_file", "reads a file with line numbers", "path", "offset"},
    ToolShape{"write_file", "writes a whole file", "path", "content"},
    ToolShape{"patch", "replaces text in a file", "path", "patch"},
    ToolShape{"search_files", "finds files or text", "pattern", "path"},
    ToolShape{"web_search", "searches the web", "query", "limit"},
    ToolShape{"web_extract", "reads a web page", "urls", "format"},
    ToolShape{"vision_analyze", "answers about an image", "image", "question"},
    ToolShape{"execute_code", "runs a Python program", "code", "timeout"},
    ToolShape{"delegate_task", "gives work to a helper", "goal", "context"},
    ToolShape{"todo", "keeps the list of steps", "todos", "merge"},
    ToolShape{"memory", "keeps facts for later talks", "action", "content"},
    ToolShape{"skill_view", "reads a skill", "name", "file"},
    ToolShape{"session_search", "finds earlier talks", "query", "limit"},
    ToolShape{"clarify", "asks the user", "question", "choices"},
};

// Plain sentences of about so many tokens.
std::string filler(const std::string& about, int tokens) {
  std::string out;
  for (int written = 0, i = 1; written < tokens; written += 22, ++i) {
    out += fmt::format(
        "Rule {} of {}: think before you act, check the result, report what "
        "was done in plain words and go on. ",
        i,
        about);
  }
  return out;
}

// Five parts of six of its prompt are the schemas of tools.
AgentTraffic traffic(int tokens) {
  Json tools = Json::array();
  const int each = tokens * 5 / 6 / static_cast<int>(kTools.size());
  for (const ToolShape& tool : kTools) {
    tools.push_back(
        {{"type", "function"},
         {"function",
          {{"name", tool.name},
           {"description",
            fmt::format(
                "This tool {}. {}", tool.what, filler(tool.name, each - 60))},
           {"parameters",
            {{"type", "object"},
             {"properties",
              {{tool.first, {{"type", "string"}}},
               {tool.second, {{"type", "string"}}}}},
             {"required", Json::array({tool.first})}}}}}});
  }
  return {
      .request = {{"tools", std::move(tools)}, {"max_tokens", 65536}},
      .system = "You are an agent that works in a terminal. " +
                filler("conduct", tokens / 6),
      .tasks =
          {"List the files of this folder with the terminal.",
           "Read the file README.md and tell me its first line.",
           "Write the file notes.txt with the text: done.",
           "Search the files for the word server.",
           "Remember that I like short answers.",
           "Run the command date in the terminal.",
           "What did we do so far? Answer in one sentence."},
      .reorders_arguments = true};
}

}  // namespace

void register_agent_hermes(AgentRegistry& registry) {
  registry.add(
      {.name = "hermes",
       .title = "Hermes Agent",
       .aliases = {"hermes-agent"},
       .program = "hermes",
       .speaks = "/v1/chat/completions",
       .install = "pip install hermes-agent",
       .least_context = 64000,
       .needs_setup = true,
       .plan = plan,
       .traffic = traffic});
}

}  // namespace rapid
