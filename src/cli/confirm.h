// Asks on the terminal before something is taken away.
//
//   if (const auto refused = confirm("Remove it?", options.yes)) {
//     return *refused;
//   }
#pragma once

#include <optional>
#include <string>

namespace rapid {

// Nothing where the answer is yes, or `yes` says so. Else the exit code:
// kExitFailed after a no, kExitUsage where there is no terminal to ask on.
std::optional<int> confirm(const std::string& question, bool yes);

}  // namespace rapid
