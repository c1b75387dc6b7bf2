// Calls as text, which models imitate from histories that were flattened:
//   [Calling tool: read({"path": "/a"})]     also without the brackets
//   [Calling tool="read" path="/a" n="3"]
#pragma once

#include <memory>

#include "formats/call_syntax.h"

namespace rapid {

std::shared_ptr<const CallSyntax> bracket_syntax();

}  // namespace rapid
