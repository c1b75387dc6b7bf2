// LayerState: what one layer remembers of one sequence. The cache, the
// scheduler and the disk tier see only this; models see the concrete kind
// they made.
//
// Invariants: all calls happen on the engine thread, between forwards, when
// nothing is unevaluated. length() counts tokens consumed since the start of
// the sequence, freed ones included. A batch row is a LayerState of its own
// (batches are ragged), so split and merge of rows are moves of pointers;
// fork() is the branch: both sides share pages and neither writes a shared
// one.
//
//   if (!state->trim(n)) { state->restore(*snapshot); /* prefill the rest */ }
#pragma once

#include <mlx/mlx.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "state/snapshot.h"

namespace rapid {

namespace mx = mlx::core;

class LayerState {
 public:
  virtual ~LayerState() = default;

  virtual int length() const = 0;
  virtual size_t bytes() const = 0;

  // Forgets the last n tokens. False: this kind cannot rewind that far (the
  // state is unchanged); restore the nearest snapshot and prefill from there.
  [[nodiscard]] virtual bool trim(int n) = 0;

  // From now on trim() takes back any of the last `tokens` tokens that come,
  // one step of as many included; 0 = as it was made, and what that took is
  // given back. Kinds that can trim anyway have nothing to do.
  virtual void keep_way_back(int /*tokens*/) {}

  virtual std::shared_ptr<const StateSnapshot> snapshot() const = 0;
  // `snapshot` must come from this kind and layer.
  virtual void restore(const StateSnapshot& snapshot) = 0;
  // Reads back what a snapshot of this layer saved. Null: never on disk.
  virtual std::unique_ptr<SnapshotBuilder> builder() const { return nullptr; }
  virtual std::unique_ptr<LayerState> fork() const = 0;

  // Arrays that the last forward left unevaluated; the engine evaluates them
  // together with the logits.
  virtual void collect(std::vector<mx::array>& out) const = 0;
};

using SequenceState = std::vector<std::unique_ptr<LayerState>>;

}  // namespace rapid
