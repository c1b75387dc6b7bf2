// One call of compressed attention as its kernel sees it.
#pragma once

#include <vector>

#include "kernels/compressed.h"

namespace rapid {

// One sequence's part of a call; the lists share its pages, with counts as
// they are behind the rows.
struct CompressedSequence {
  CompressedLists lists;
  int start = 0;  // position of its first new row
  int first_row = 0;
  int rows = 0;
};

struct CompressedCall {
  std::vector<CompressedSequence> sequences;
  CompressedAttentionPtr layer;
  const float* q = nullptr;
  const float* in = nullptr;
  float* out = nullptr;
  int tokens = 0;
  std::vector<float> turns;  // [T, 2, pairs]

  const CompressedOptions& options() const { return layer->options; }
  const CompressedShape& shape() const { return layer->options.shape; }
  int pairs() const { return options().rope.dims / 2; }
  const float* turn(int row) const {
    return turns.data() + static_cast<size_t>(row) * 2 * pairs();
  }
  const float* q_row(int row) const {
    return q + static_cast<size_t>(row) * layer->q_width();
  }
  const float* in_row(int row) const {
    return in + static_cast<size_t>(row) * layer->in_width();
  }
};

// A row of the call.
struct CompressedPlace {
  const CompressedSequence* sequence;
  int row;       // of the call
  int position;  // in its sequence
};

// The last dims of x [dim] by a row of the call's turns.
void turn_tail(
    const CompressedCall& call, float* x, int dim, const float* turn);

// The new rows' keys and what is pending of them, into the pages; then the
// entries that they have made whole.
void take_rows(
    const CompressedCall& call, const std::vector<CompressedPlace>& places);

}  // namespace rapid
