#include "nn/pre_norm_block.h"

namespace rapid {

Result<PreNormBlock> PreNormBlock::load(
    const WeightCursor& cursor, const PreNormBlockOptions& o) {
  RAPID_TRY(RmsNorm before, RmsNorm::load(cursor, "input_layernorm", o.norm));
  RAPID_TRY(
      SelfAttention attention,
      SelfAttention::load(cursor.scope("self_attn"), o.attention));
  RAPID_TRY(
      RmsNorm between,
      RmsNorm::load(cursor, "post_attention_layernorm", o.norm));
  RAPID_TRY(GatedMlp mlp, GatedMlp::load(cursor.scope("mlp"), o.mlp));
  return PreNormBlock(
      std::move(before),
      std::move(attention),
      std::move(between),
      std::move(mlp));
}

mx::array PreNormBlock::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const mx::array h = mx::add(x, attention_(before_(x), batch, layer));
  return mx::add(h, mlp_(between_(h)));
}

}  // namespace rapid
