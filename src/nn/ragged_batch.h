// The rows of one forward pass: the new tokens of several sequences, one
// after another.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "kernels/low_rank.h"
#include "state/layer_state.h"

namespace rapid {

struct RaggedBatch {
  struct Rows {
    SequenceState* states = nullptr;
    int first = 0;
    int count = 0;
  };

  std::vector<Rows> sequences;
  // [T, ...]: what an architecture makes once for all layers of a pass.
  std::optional<mx::array> beside = std::nullopt;
  std::vector<AdaptedRows> adapted;  // the rows of those that have one

  // Lays `counts[i]` rows of `states[i]` one after another. `adapters`: one a
  // sequence, null where it has none; or empty.
  static RaggedBatch lay_out(
      std::span<SequenceState* const> states,
      std::span<const int> counts,
      std::span<const AdapterPtr> adapters = {});
};

}  // namespace rapid
