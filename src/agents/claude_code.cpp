// Claude Code: /v1/messages, told by variables; its settings file holds the
// same ones.
#include <string>

#include "agents/registry.h"

namespace rapid {

namespace {

AgentPlan plan(const AgentTarget& target) {
  const Environment environment = {
      {"ANTHROPIC_BASE_URL", target.root},
      {"ANTHROPIC_AUTH_TOKEN", target.some_key()},
      {"ANTHROPIC_MODEL", target.model},
      {"ANTHROPIC_SMALL_FAST_MODEL", target.model},
      // Of a model that it does not know it believes a million.
      {"CLAUDE_CODE_MAX_CONTEXT_TOKENS", std::to_string(target.context)},
      {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"}};
  Json variables = Json::object();
  for (const auto& [name, value] : environment) {
    variables[name] = value;
  }
  return {
      .edits =
          {{"~/.claude/settings.json",
            "CLAUDE_CONFIG_DIR",
            ConfigSyntax::json,
            {{"env", variables}}}},
      .environment = environment,
      .launch = {"claude"},
      .headless = {"claude", "--dangerously-skip-permissions", "-p"}};
}

}  // namespace

void register_agent_claude_code(AgentRegistry& registry) {
  registry.add(
      {.name = "claude-code",
       .title = "Claude Code",
       .aliases = {"claude"},
       .program = "claude",
       .speaks = "/v1/messages",
       .install = "npm install -g @anthropic-ai/claude-code",
       .plan = plan});
}

}  // namespace rapid
