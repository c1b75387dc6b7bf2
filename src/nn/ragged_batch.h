// The rows of one forward pass: the new tokens of several sequences, one
// after another.
#pragma once

#include <span>
#include <vector>

#include "state/layer_state.h"

namespace rapid {

struct RaggedBatch {
  struct Rows {
    SequenceState* states = nullptr;
    int first = 0;
    int count = 0;
  };

  std::vector<Rows> sequences;

  // Lays `counts[i]` rows of `states[i]` one after another.
  static RaggedBatch lay_out(
      std::span<SequenceState* const> states, std::span<const int> counts);
};

}  // namespace rapid
