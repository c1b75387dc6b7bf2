// Causal self-attention with grouped queries over paged keys and values, from
// the norm before it to the residual after it.
//
// Parameters below the cursor: q_proj, k_proj, v_proj (or all three as one,
// `fused`), o_proj and, with head_norm, the norms of q and k. The state of
// `layer` in every sequence of the batch must be a PagedKv of kv_heads x
// head_dim; it is advanced when the graph is built.
#pragma once

#include <optional>
#include <string_view>

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
  std::string_view fused = {};  // the name of q, k and v as one matrix
  std::optional<RmsNormOptions> head_norm;  // over each head of q and k
  bool norm_whole = false;  // or over all heads at once, whatever its size
  bool norm_last = false;   // after the rotation
  std::string_view q_norm = "q_norm";
  std::string_view k_norm = "k_norm";
  RopeOptions rope;
  float scale = 1.0f;
  int window = 0;
  float softcap = 0.0f;
  bool gated = false;   // q_proj gives each head's q, then its gate
  float growth = 0.0f;  // of queries, see AttentionOptions
  int growth_tokens = 1;
  bool sinks = false;  // a parameter `sinks`, see AttentionOptions
  // q and k of the file have the rows of each head in pairs, where what
  // adapters change has them in halves (see AdaptableWeight).
  bool paired_rows = false;
};

// The norms around a part of a layer: x + after(part(before(x))).
struct BlockNorms {
  std::optional<RmsNorm> before;
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

  // Whether biases put channels of the keys so far from zero that codes of 4
  // bits would leave the other channels nothing (decision 0028).
  bool far_keys() const { return far_keys_; }

 private:
  SelfAttention(ProjectionPtr qkv, AttentionPtr mix, ProjectionPtr out)
      : qkv_(std::move(qkv)), mix_(std::move(mix)), out_(std::move(out)) {}

  ProjectionPtr qkv_;
  AttentionPtr mix_;
  ProjectionPtr out_;
  bool far_keys_ = false;
};

}  // namespace rapid
