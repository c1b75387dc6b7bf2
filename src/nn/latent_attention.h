// Multi-head latent attention: keys and values of all heads come out of one
// short vector a token, which is what the state keeps (see kernels/latent.h);
// from the norm before it to the residual after it.
//
// Parameters below the cursor: q_proj, or q_a_proj, q_a_layernorm and q_b_proj;
// kv_a_proj_with_mqa, kv_a_layernorm, o_proj; and what leads out of the latent
// space, in one of the forms that files have it:
//   kv_b_proj               [heads (nope + values), rank]
//   embed_q, unembed_out    [heads, rank, nope], [heads, values, rank]: MLX;
//                           GGUF's k_b and v_b are the same
// The state of a layer must be a PagedKv of one head of rope + rank.
#pragma once

#include "kernels/attention.h"
#include "kernels/latent.h"
#include "nn/attention.h"

namespace rapid {

struct LatentAttentionOptions {
  int hidden = 0;
  int heads = 0;
  int nope = 0;            // unrotated dims of a head of q
  int rope = 0;            // rotated ones
  int values = 0;          // dims of a head's value
  int rank = 0;            // of the latent vector
  int q_rank = 0;          // 0 = q_proj
  Bias bias = Bias::none;  // of q_a_proj, kv_a_proj_with_mqa and o_proj
  float norm_eps = 1e-6f;  // of the norms inside
  RopeOptions rotation;    // of `rope` dims
  float scale = 1.0f;
};

class LatentAttention {
 public:
  static Result<LatentAttention> load(
      const WeightCursor& cursor,
      const LatentAttentionOptions& options,
      BlockNorms norms);

  // x [T, hidden] -> [T, hidden], residual included.
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

 private:
  LatentAttention() = default;

  ProjectionPtr in_;  // q_a or q, then the latent vector and its rotated part
  ProjectionPtr q_;   // q_b; null without
  int q_width_ = 0;   // columns of in_'s result that are q's
  LatentHeadsPtr heads_;
  AttentionPtr mix_;
  ProjectionPtr out_;
};

// float32 values that a step holds of one token.
int latent_row_floats(const LatentAttentionOptions& options);

}  // namespace rapid
