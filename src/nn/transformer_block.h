// The plain transformer layer: attention, then a gated MLP, each between a norm
// and a residual; some architectures norm the parts' results as well.
//
// Parameters below the cursor: self_attn.*, mlp.* and the norms, by the names
// that the options give; an empty name: no such norm.
#pragma once

#include <string_view>

#include "nn/attention.h"
#include "nn/mlp.h"

namespace rapid {

struct BlockNormNames {
  std::string_view before_attention = "input_layernorm";
  std::string_view after_attention;
  std::string_view before_mlp = "post_attention_layernorm";
  std::string_view after_mlp;
};

struct TransformerBlockOptions {
  RmsNormOptions norm;
  BlockNormNames norm_names;
  SelfAttentionOptions attention;
  MlpOptions mlp;
};

// The norms around a part; `after` may be empty.
Result<BlockNorms> load_block_norms(
    const WeightCursor& cursor,
    std::string_view before,
    std::string_view after,
    const RmsNormOptions& options);

// A block's attention with its norms; what follows it may be of any kind.
Result<SelfAttention> load_block_attention(
    const WeightCursor& cursor, const TransformerBlockOptions& options);

class TransformerBlock {
 public:
  static Result<TransformerBlock> load(
      const WeightCursor& cursor, const TransformerBlockOptions& options);

  // x [T, hidden] -> [T, hidden].
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const {
    return mlp_(attention_(x, batch, layer), batch);
  }

  bool far_keys() const { return attention_.far_keys(); }

 private:
  TransformerBlock(SelfAttention attention, Mlp mlp)
      : attention_(std::move(attention)), mlp_(std::move(mlp)) {}

  SelfAttention attention_;
  Mlp mlp_;
};

}  // namespace rapid
