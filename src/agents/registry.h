// All agents by name and alias, in alphabetical order.
#pragma once

#include <string_view>
#include <vector>

#include "agents/profile.h"
#include "base/result.h"

namespace rapid {

class AgentRegistry {
 public:
  // Throws std::logic_error on a duplicate name or alias.
  void add(AgentProfile profile);

  // Errors: not_found, with the known names.
  Result<const AgentProfile*> find(std::string_view name) const;
  const std::vector<AgentProfile>& all() const { return profiles_; }

  static const AgentRegistry& global();

 private:
  std::vector<AgentProfile> profiles_;
};

void register_all_agents(AgentRegistry& registry);  // generated

}  // namespace rapid
