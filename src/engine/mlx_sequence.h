// Tokens and the state that holds them. Only the engine thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/prefix_trie.h"
#include "models/model.h"
#include "state/layer_state.h"

namespace rapid {

// Invariant between steps: `states` have consumed exactly `tokens`.
struct Sequence {
  std::vector<int32_t> tokens;
  SequenceState states;

  // A new one whose first `length` tokens, of `prompt`, are in `kept`.
  static Sequence take_up(
      const Model& model,
      const StateOptions& options,
      std::span<const int32_t> prompt,
      const TrieMatch& kept);
  SnapshotSet snapshots() const;
  // A branch: both sides share what is there.
  Sequence fork() const;
  uint64_t bytes() const;
};

// What a state will cost, measured once on one token: pages are the unit.
class StateCost {
 public:
  StateCost() = default;
  explicit StateCost(const SequenceState& after_one_token);
  uint64_t bytes(int64_t tokens) const;

 private:
  struct Layer {
    uint64_t page_bytes = 0;
    int64_t page_tokens = 1;
    int64_t window = 0;  // 0 = keeps all
  };
  std::vector<Layer> layers_;
};

}  // namespace rapid
