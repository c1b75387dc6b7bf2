// What configurations say about experts, under the names that different
// families have for it.
#pragma once

#include "models/config.h"

namespace rapid {

// num_experts, num_local_experts or n_routed_experts; transformers 5 writes
// the second for models whose own configurations have another.
Result<int> read_expert_count(const Json& config);

// A whole number that may be 0 or less.
Result<int> read_whole(const Json& config, std::string_view key, int fallback);

// first_k_dense_replace, so many first layers being dense; may be 0.
inline Result<int> read_dense_layers(const Json& config, int fallback) {
  return read_whole(config, "first_k_dense_replace", fallback);
}

}  // namespace rapid
