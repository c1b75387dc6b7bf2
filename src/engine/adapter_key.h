// Prompts as the caches of states know them: a state that an adapter made is
// no other's. The first tokens of the key carry the adapter, below zero, where
// no token is; without one the key is the tokens themselves.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rapid {

// Fingerprints of the loaded adapters by name. Keys of different contents
// differ from the first token on.
class AdapterKeys {
 public:
  AdapterKeys() = default;
  explicit AdapterKeys(std::map<std::string, uint64_t> fingerprints);

  // As long as `tokens`; `memory` holds it where it is not `tokens`.
  std::span<const int32_t> key(
      const std::string& adapter,
      std::span<const int32_t> tokens,
      std::vector<int32_t>& memory) const;

 private:
  std::map<std::string, uint64_t> fingerprints_;
};

}  // namespace rapid
