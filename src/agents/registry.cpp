#include "agents/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace rapid {

namespace {

bool answers_to(const AgentProfile& profile, std::string_view name) {
  return profile.name == name ||
         std::ranges::find(profile.aliases, name) != profile.aliases.end();
}

}  // namespace

void AgentRegistry::add(AgentProfile profile) {
  std::vector<std::string> names = profile.aliases;
  names.push_back(profile.name);
  for (const AgentProfile& other : profiles_) {
    for (const std::string& name : names) {
      if (answers_to(other, name)) {
        throw std::logic_error("two agents named " + name);
      }
    }
  }
  const auto at = std::ranges::lower_bound(
      profiles_, profile.name, {}, &AgentProfile::name);
  profiles_.insert(at, std::move(profile));
}

Result<const AgentProfile*> AgentRegistry::find(std::string_view name) const {
  std::string known;
  for (const AgentProfile& profile : profiles_) {
    if (answers_to(profile, name)) {
      return &profile;
    }
    known += (known.empty() ? "" : ", ") + profile.name;
  }
  return Error{
      ErrorCode::not_found,
      fmt::format("no agent is named {}", name),
      "known: " + known,
      "agent"};
}

const AgentRegistry& AgentRegistry::global() {
  static const AgentRegistry registry = [] {
    AgentRegistry out;
    register_all_agents(out);
    return out;
  }();
  return registry;
}

}  // namespace rapid
