// Tokens and the state that holds them. Only the engine thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/prefix_trie.h"
#include "engine/memory_plan.h"
#include "models/model.h"
#include "state/layer_state.h"

namespace rapid {

// Invariant between steps: `states` have consumed the first `consumed` of
// `tokens`; without states that is none. Their form is that of `tokens`, but
// for a sequence that has just passed the border (RotationForms).
struct Sequence {
  std::vector<int32_t> tokens;
  size_t consumed = 0;
  SequenceState states;
  int form = 0;  // of the states

  // Gives it states as `options` says, whose first tokens come from `kept`.
  void take_up(
      const Model& model, const StateOptions& options, const TrieMatch& kept);
  // Gives them back; the tokens are to be consumed again.
  void drop();
  size_t left() const { return tokens.size() - consumed; }
  std::span<const int32_t> known() const {
    return std::span(tokens).first(consumed);
  }
  // Around a step whose last tokens may be taken back (LayerState).
  void keep_way_back(int tokens);
  // Its states have consumed `count` tokens more than it wants: they are taken
  // back, or where a state cannot, all states dropped.
  void take_back(int count);
  SnapshotSet snapshots() const;
  // A branch: both sides share what is there.
  Sequence fork() const;
  uint64_t bytes() const;
};

// What a state will cost, measured once on one token.
StateCost state_cost(const SequenceState& after_one_token);

}  // namespace rapid
