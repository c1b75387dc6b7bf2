// Which server an agent is pointed at: what agents, launch and connect share.
#pragma once

#include <string>

#include "agents/profile.h"

namespace CLI {
class App;
}

namespace rapid {

struct AgentTargetFlags {
  std::string url = "http://127.0.0.1:8000";
  std::string model;  // "" = the server's first, or "default" if none answers
  std::string key;    // "" = $RAPID_MLX_API_KEY, or none

  void add(CLI::App& app);
};

struct FoundTarget {
  AgentTarget target;
  std::string trouble;  // why the server could not be asked; "" = it answered
};

// Asks the server for its model and context; takes two seconds at most.
FoundTarget find_target(const AgentTargetFlags& flags);

// As an error, for what needs the server.
Error does_not_answer(const FoundTarget& found);

// The same, where nothing can be done without the server. Errors: io.
Result<AgentTarget> answering_target(const AgentTargetFlags& flags);

// To stderr: what of the server's model will make the agent fail.
void print_notes(const AgentProfile& profile, const FoundTarget& found);

// NAME=value lines that a shell understands.
std::string shell_exports(const Environment& environment);
// A command as a person would type it.
std::string shell_command(const std::vector<std::string>& command);
// That with the variables in front.
Json plan_json(const AgentProfile& profile, const AgentPlan& plan);

}  // namespace rapid
