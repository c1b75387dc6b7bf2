#include "api/billing_header.h"

#include <string_view>

namespace rapid {

std::string without_billing_header(std::string system) {
  constexpr std::string_view kName = "x-anthropic-billing-header:";
  if (!system.starts_with(kName)) {
    return system;
  }
  const size_t end = system.find('\n');
  const size_t next = system.find_first_not_of("\r\n", end);
  return next == std::string::npos ? "" : system.substr(next);
}

}  // namespace rapid
