// Codex: /v1/responses, told by a provider in its configuration and by a
// catalogue of models: of one that it does not know it warns in every session,
// and sends three times the instructions (docs/decisions/0058).
#include <string>

#include "agents/registry.h"

namespace rapid {

namespace {

// Beside config.toml, which names it from there.
constexpr const char* kCatalogue = "rapid-mlx-models.json";

// What a catalogue's model must have is said to the model before all else.
constexpr const char* kInstructions =
    "You are Codex, an agent that works in a terminal on its user's own "
    "machine.\n\n"
    "- Do what was asked, all of it, and nothing else. Go on until it is done; "
    "ask only when you cannot find out yourself.\n"
    "- Look before you change anything: list and read the files that matter, "
    "with `rg` or `cat`. Never guess what a file holds.\n"
    "- Act by calling tools. Commands run with exec_command; write files with "
    "it, too. Calls that do not need each other's results may go out "
    "together.\n"
    "- Make the smallest change that is right, in the style of the code around "
    "it. Leave what you did not make, such as others' uncommitted changes, "
    "alone. Commit only when told to.\n"
    "- When a command fails, read what it says and mend the cause.\n"
    "- Check your work where there is a way, with the project's own tests or "
    "build.\n"
    "- AGENTS.md files give rules for the folder that they lie in and all "
    "below; the user's own words come first.\n"
    "- At the end say in few words what you did, which files changed, and what "
    "is left. Name files by their paths.\n";

// All that versions up to 0.171 ask for or know; they fail on what is missing.
Json catalogued(const AgentTarget& target) {
  return {
      {"slug", target.model},
      {"display_name", target.model},
      {"description", "served by rapid-mlx"},
      {"supported_reasoning_levels", Json::array()},
      {"shell_type", "shell_command"},
      {"visibility", "list"},
      {"supported_in_api", true},
      {"priority", 1},
      {"upgrade", nullptr},
      {"base_instructions", kInstructions},
      {"supports_reasoning_summaries", false},
      {"support_verbosity", false},
      {"default_verbosity", nullptr},
      {"apply_patch_tool_type", nullptr},
      {"truncation_policy", {{"mode", "tokens"}, {"limit", 10000}}},
      {"supports_parallel_tool_calls", true},
      {"context_window", target.context},
      {"experimental_supported_tools", Json::array()},
      {"input_modalities", Json::array({"text"})}};
}

AgentPlan plan(const AgentTarget& target) {
  Json provider = {
      {"name", "rapid-mlx"},
      {"base_url", target.v1()},
      {"wire_api", "responses"}};
  if (!target.key.empty()) {
    provider["env_key"] = "RAPID_MLX_API_KEY";
  }
  return {
      .edits =
          {{"~/.codex/config.toml",
            "CODEX_HOME",
            ConfigSyntax::toml,
            {{"model", target.model},
             {"model_provider", "rapid-mlx"},
             {"model_context_window", target.context},
             {"model_catalog_json", kCatalogue},
             {"model_providers", {{"rapid-mlx", provider}}}}},
           {std::string("~/.codex/") + kCatalogue,
            "CODEX_HOME",
            ConfigSyntax::json,
            {{"models", Json::array({catalogued(target)})}}}},
      .environment = {{"RAPID_MLX_API_KEY", target.some_key()}},
      .launch = {"codex"},
      .headless = {
          "codex",
          "exec",
          "--skip-git-repo-check",
          "--dangerously-bypass-approvals-and-sandbox"}};
}

}  // namespace

void register_agent_codex(AgentRegistry& registry) {
  registry.add(
      {.name = "codex",
       .title = "Codex CLI",
       .program = "codex",
       .speaks = "/v1/responses",
       .install = "npm install -g @openai/codex",
       .needs_setup = true,
       .plan = plan});
}

}  // namespace rapid
