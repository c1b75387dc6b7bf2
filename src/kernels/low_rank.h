// Low-rank changes of a model's matrices, per row of a batch (LoRA, Hu et al.
// 2021): where a row has an adapter that knows the matrix W,
//
//   y = x W^T + b + (x A^T) B'       A [rank, K], B' = scale B^T [rank, N]
//
// in float32 from the float32 activations, whatever W is met with. A row
// without one goes through the very steps that it takes without adapters, so
// its bits don't depend on who is beside it (law 3).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "kernels/backend.h"
#include "tensor/weight.h"

namespace rapid {

struct LowRank {
  mx::array down;  // A [rank, K] float32, evaluated
  mx::array up;    // B' [rank, N]

  int rank() const { return down.shape(0); }
  uint64_t bytes() const { return down.nbytes() + up.nbytes(); }
};

// What an adapter changes of one model. Immutable once loaded.
struct Adapter {
  std::string name;
  // Of its contents: states of another adapter are not its own.
  uint64_t fingerprint = 0;
  std::unordered_map<const Weight*, LowRank> parts;

  uint64_t bytes() const {
    uint64_t out = 0;
    for (const auto& [weight, low] : parts) {
      out += low.bytes();
    }
    return out;
  }
  // Null: it leaves this one alone.
  const LowRank* find(const Weight& weight) const {
    const auto found = parts.find(&weight);
    return found == parts.end() ? nullptr : &found->second;
  }
};

using AdapterPtr = std::shared_ptr<const Adapter>;

// Rows [first, first + rows) of a batch have this adapter. Lists are in the
// order of rows; rows in none have none.
struct AdaptedRows {
  AdapterPtr adapter;
  int first = 0;
  int rows = 0;
};

using AdaptedBatch = std::span<const AdaptedRows>;

// The definition: y [T, N] = x W^T + b with what the adapters add.
mx::array low_rank_reference(
    const mx::array& y,
    const mx::array& x,
    const Weight& weight,
    AdaptedBatch adapted);

}  // namespace rapid
