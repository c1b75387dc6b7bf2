// A Backend that runs the calls of some tools itself (mcp/tool_rounds.h): one
// request, one stream of events, as many rounds of the model as it takes. Each
// such call is a ToolRun event when it begins and when it has ended; calls of
// the client's own tools end the answer as they do elsewhere. Usage is the sum
// of all rounds, max_tokens their bound.
//
// Each request has a thread for as long as it lasts: tools may take their
// time.
#pragma once

#include <memory>

#include "api/backend.h"
#include "api/background.h"
#include "api/hosted_tools.h"

namespace rapid {

// `background` must outlive it.
std::shared_ptr<Backend> make_tool_backend(
    std::shared_ptr<Backend> backend,
    const HostedOffer& offer,
    Background& background);

}  // namespace rapid
