// The batch of a recurrent layer's kernel, and the states behind it.
#pragma once

#include "kernels/fold.h"
#include "nn/ragged_batch.h"
#include "state/recurrent.h"

namespace rapid {

inline Recurrent& recurrent_state(const RaggedBatch::Rows& rows, int layer) {
  return dynamic_cast<Recurrent&>(*rows.states->at(static_cast<size_t>(layer)));
}

inline std::vector<FoldRows> fold_rows(const RaggedBatch& batch, int layer) {
  std::vector<FoldRows> out;
  out.reserve(batch.sequences.size());
  for (const RaggedBatch::Rows& rows : batch.sequences) {
    out.push_back(
        {recurrent_state(rows, layer).arrays(), rows.first, rows.count});
  }
  return out;
}

// `x` [T, ...] is what the kernel got of each token, and its rule gets again
// when a state is rewound.
inline void keep_folded(
    const RaggedBatch& batch,
    int layer,
    const mx::array& x,
    std::vector<Arrays> next) {
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const RaggedBatch::Rows& rows = batch.sequences[i];
    mx::Shape start(x.ndim(), 0);
    mx::Shape stop = x.shape();
    start[0] = rows.first;
    stop[0] = rows.first + rows.count;
    recurrent_state(rows, layer)
        .append(rows.count, {mx::slice(x, start, stop)}, std::move(next[i]));
  }
}

}  // namespace rapid
