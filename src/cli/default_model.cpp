#include "cli/default_model.h"

#include "hub/catalogue.h"

namespace rapid {

std::string default_model() {
  const auto& entries = catalogue();
  return entries.empty() ? "MODEL" : entries.front().alias;
}

}  // namespace rapid
