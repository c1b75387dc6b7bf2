// One small task for an agent, in an empty folder, to see that it works.
#pragma once

#include "agents/profile.h"
#include "base/result.h"

namespace rapid {

// Asks it to write a file and looks whether it is there; prints what it says.
// Errors: not_found (not installed), unsupported (it has no such mode), io
// with the agent's last lines.
Status try_agent(const AgentProfile& profile, const AgentPlan& plan);

}  // namespace rapid
