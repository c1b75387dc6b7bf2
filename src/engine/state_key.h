// Prompts as the caches of states know them: a state that an adapter made is
// no other's, nor one whose rotation has another form (RotationForms). The
// first tokens of the key carry both, below zero, where no token is; without an
// adapter and in form 0 the key is the tokens themselves.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rapid {

class StateKeys {
 public:
  // Fingerprints of the loaded adapters by name. Keys of different contents or
  // forms differ from the first token on.
  explicit StateKeys(const std::map<std::string, uint64_t>& adapters = {});

  // As long as `tokens`; `memory` holds it where it is not `tokens`. `adapter`
  // is empty or a loaded one.
  std::span<const int32_t> key(
      const std::string& adapter,
      int form,
      std::span<const int32_t> tokens,
      std::vector<int32_t>& memory) const;

 private:
  void add(const std::string& adapter, int form, uint64_t fingerprint);

  std::map<std::pair<std::string, int>, uint64_t> fingerprints_;
};

}  // namespace rapid
