// Causal self-attention with grouped queries over paged keys and values.
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
#include "nn/rope.h"

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
  AttentionOptions attention;  // scale, window, softcap
};

class SelfAttention {
 public:
  static Result<SelfAttention> load(
      const WeightCursor& cursor, const SelfAttentionOptions& options);

  // x [T, hidden] -> [T, hidden].
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

 private:
  SelfAttention(
      SelfAttentionOptions options, Linear q, Linear k, Linear v, Linear o)
      : options_(std::move(options)),
        rope_(options_.rope),
        q_(std::move(q)),
        k_(std::move(k)),
        v_(std::move(v)),
        o_(std::move(o)) {}

  SelfAttentionOptions options_;
  Rope rope_;
  Linear q_, k_, v_, o_;
  std::optional<RmsNorm> q_norm_, k_norm_;
};

}  // namespace rapid
