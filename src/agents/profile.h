// One agent or client program: how it is told to use a server of ours. One
// .cpp = one agent, which defines register_agent_<stem>(AgentRegistry&).
//
// A profile makes plain values: which keys of which files, which variables,
// which command. agents/setup.h applies them; nothing here touches a disk.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agents/config_document.h"
#include "base/json.h"

namespace rapid {

// Whom the agent shall talk to.
struct AgentTarget {
  std::string root = "http://127.0.0.1:8000";  // without /v1
  std::string model = "default";
  int context = 32768;
  std::string key;  // "" = the server wants none

  std::string v1() const { return root + "/v1"; }
  // Most clients refuse to run without a key.
  std::string some_key() const { return key.empty() ? "local" : key; }
};

struct ConfigEdit {
  std::string path;      // "~/.codex/config.toml"
  std::string home_env;  // a variable that replaces its folder, or ""
  ConfigSyntax syntax = ConfigSyntax::json;
  Json patch;
};

using Environment = std::vector<std::pair<std::string, std::string>>;

// What OpenAI's own libraries read, and those built on them.
inline Environment library_variables(const AgentTarget& target) {
  return {
      {"OPENAI_BASE_URL", target.v1()}, {"OPENAI_API_KEY", target.some_key()}};
}

// A model of providers.*.models, as two agents with one ancestor have it.
inline Json listed_model(const AgentTarget& target) {
  return {
      {"id", target.model},
      {"name", target.model},
      {"reasoning", true},
      {"input", Json::array({"text"})},
      {"contextWindow", target.context},
      {"maxTokens", 8192},
      {"cost",
       {{"input", 0}, {"output", 0}, {"cacheRead", 0}, {"cacheWrite", 0}}}};
}

struct AgentPlan {
  std::vector<ConfigEdit> edits;
  Environment environment;
  // Run once by --setup, when the program is there; its own way to set up.
  std::vector<std::string> setup_command;
  // Starts the agent; empty: it is no program that a terminal starts.
  std::vector<std::string> launch;
  // Runs one task without a person; the task's text comes last.
  std::vector<std::string> headless;
  // Text for the person: a snippet of code, or settings of a window.
  std::string snippet;
};

// What an agent sends in a talk, as it was recorded: `bench --agent` plays it.
struct AgentTraffic {
  Json request;                    // all but model and messages
  std::string system;              // the first message
  std::vector<std::string> tasks;  // what a user may ask for, in turn
  // Arguments of earlier calls come back with their keys in another order.
  bool reorders_arguments = false;
};

struct AgentProfile {
  std::string name;  // "claude-code"
  std::string title;
  std::vector<std::string> aliases;
  std::string program;  // looked for on PATH; "" = a library or a service
  std::string speaks;   // its route: "/v1/messages"
  std::string install;  // the command that installs it
  // Why it cannot use a server on this machine; "" = it can.
  std::string obstacle;
  int least_context = 0;  // tokens: it refuses a model that takes fewer
  // The configuration must be written before it can be launched.
  bool needs_setup = false;
  std::function<AgentPlan(const AgentTarget&)> plan;
  // Of about so many tokens in the first prompt; absent: not recorded.
  std::function<AgentTraffic(int tokens)> traffic;
};

}  // namespace rapid
