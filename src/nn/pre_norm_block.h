// The plain transformer layer: x + attention(norm(x)), then x + mlp(norm(x)).
//
// Parameters below the cursor: input_layernorm, self_attn.*,
// post_attention_layernorm, mlp.*.
#pragma once

#include "nn/attention.h"
#include "nn/gated_mlp.h"

namespace rapid {

struct PreNormBlockOptions {
  RmsNormOptions norm;
  SelfAttentionOptions attention;
  GatedMlpOptions mlp;
};

class PreNormBlock {
 public:
  static Result<PreNormBlock> load(
      const WeightCursor& cursor, const PreNormBlockOptions& options);

  // x [T, hidden] -> [T, hidden].
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

 private:
  PreNormBlock(
      RmsNorm before, SelfAttention attention, RmsNorm between, GatedMlp mlp)
      : before_(std::move(before)),
        attention_(std::move(attention)),
        between_(std::move(between)),
        mlp_(std::move(mlp)) {}

  RmsNorm before_;
  SelfAttention attention_;
  RmsNorm between_;
  GatedMlp mlp_;
};

}  // namespace rapid
