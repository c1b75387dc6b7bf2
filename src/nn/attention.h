// Causal self-attention with grouped queries over paged keys and values, from
// the norm before it to the residual after it.
//
// Parameters below the cursor: q_proj, k_proj, v_proj, o_proj and, with
// head_norm, q_norm and k_norm (over each head, before the rotation). The
// state of `layer` in every sequence of the batch must be a PagedKv of
// kv_heads x head_dim; it is advanced when the graph is built.
#pragma once

#include <optional>

#include "kernels/attention.h"
#include "nn/linear.h"
#include "nn/ragged_batch.h"
#include "nn/rms_norm.h"

namespace rapid {

struct SelfAttentionOptions {
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  Bias qkv_bias = Bias::none;
  Bias output_bias = Bias::none;
  std::optional<RmsNormOptions> head_norm;
  RopeOptions rope;
  float scale = 1.0f;
  int window = 0;
  float softcap = 0.0f;
};

// The norms around a part of a layer: x + after(part(before(x))).
struct BlockNorms {
  RmsNorm before;
  std::optional<RmsNorm> after;
};

class SelfAttention {
 public:
  static Result<SelfAttention> load(
      const WeightCursor& cursor,
      const SelfAttentionOptions& options,
      BlockNorms norms);

  // x [T, hidden] -> [T, hidden], residual included.
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

 private:
  SelfAttention(ProjectionPtr qkv, AttentionPtr mix, ProjectionPtr out)
      : qkv_(std::move(qkv)), mix_(std::move(mix)), out_(std::move(out)) {}

  ProjectionPtr qkv_;
  AttentionPtr mix_;
  ProjectionPtr out_;
};

}  // namespace rapid
