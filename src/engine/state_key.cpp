#include "engine/state_key.h"

#include <algorithm>
#include <utility>

namespace rapid {
namespace {

constexpr size_t kCarriers = 4;
constexpr uint32_t kBits = 0x7FFFFFFF;
// More than any vocabulary has tokens. Fingerprints that are closer are rare
// (one pair of 2000): one of them gets another while both are loaded.
constexpr uint32_t kApart = 1u << 19;

uint64_t mixed(uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

uint32_t word(uint64_t fingerprint, size_t place) {
  return static_cast<uint32_t>(mixed(fingerprint ^ mixed(place))) & kBits;
}

// Some token of one could look like one of the other.
bool close(uint64_t left, uint64_t right) {
  const uint32_t apart = (word(left, 0) - word(right, 0)) & kBits;
  return left != right && std::min(apart, (~apart + 1) & kBits) < kApart;
}

}  // namespace

StateKeys::StateKeys(const std::map<std::string, uint64_t>& adapters) {
  add("", 1, mixed(1));
  for (const auto& [name, print] : adapters) {
    add(name, 0, print);
    add(name, 1, mixed(print));
  }
}

void StateKeys::add(const std::string& adapter, int form, uint64_t print) {
  while (std::ranges::any_of(fingerprints_, [&](const auto& other) {
    return close(print, other.second);
  })) {
    print = mixed(print);
  }
  fingerprints_.emplace(std::pair(adapter, form), print);
}

std::span<const int32_t> StateKeys::key(
    const std::string& adapter,
    int form,
    std::span<const int32_t> tokens,
    std::vector<int32_t>& memory) const {
  const auto found = fingerprints_.find({adapter, form});
  if (found == fingerprints_.end()) {
    return tokens;
  }
  memory.assign(tokens.begin(), tokens.end());
  for (size_t i = 0; i < std::min(memory.size(), kCarriers); ++i) {
    const uint32_t sum =
        word(found->second, i) + static_cast<uint32_t>(memory[i]);
    memory[i] = static_cast<int32_t>((sum & kBits) | ~kBits);
  }
  return memory;
}

}  // namespace rapid
