// Attention over a window and compressed entries (kernels/compressed.h), from
// the norm before it to the projection back by groups of low rank; without a
// residual.
//
// Parameters below the cursor: q_a_proj, q_a_norm, q_b_proj; kv_proj, kv_norm;
// sinks; o_a_proj [groups rank, heads dim / groups], a block of rows for each
// group of heads, and o_b_proj; with entries compressor.{kv_proj, gate_proj,
// position_bias, kv_norm}; with an index the same below `indexer`, and its
// q_b_proj and weights_proj.
// The state of a layer must be a CompressedKv of the options' shape.
#pragma once

#include "kernels/compressed.h"
#include "kernels/latent.h"
#include "nn/attention.h"

namespace rapid {

struct CompressedAttentionOptions {
  CompressedShape shape;
  int hidden = 0;
  int heads = 0;
  int q_rank = 0;
  int groups = 1;  // of heads, in the projection back
  int rank = 0;    // of a group
  float norm_eps = 1e-6f;
  RopeOptions rope;  // of the last dims
  int index_heads = 0;
  int top = 0;  // entries that the index lets a query see
};

class CompressedAttentionLayer {
 public:
  static Result<CompressedAttentionLayer> load(
      const WeightCursor& cursor,
      const CompressedAttentionOptions& options,
      RmsNorm before);

  // x [T, hidden] -> [T, hidden].
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

 private:
  CompressedAttentionLayer() = default;

  ProjectionPtr in_;  // q_a, then the row that the kernel takes
  ProjectionPtr q_;
  int q_rank_ = 0;
  CompressedAttentionPtr mix_;
  LatentHeadsPtr groups_;
  ProjectionPtr out_;
};

// float32 values that a step holds of one token.
int compressed_row_floats(const CompressedAttentionOptions& options);

}  // namespace rapid
