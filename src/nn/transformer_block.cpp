#include "nn/transformer_block.h"

namespace rapid {

Result<BlockNorms> load_block_norms(
    const WeightCursor& cursor,
    std::string_view before,
    std::string_view after,
    const RmsNormOptions& options) {
  BlockNorms out;
  if (!before.empty()) {
    RAPID_TRY(out.before, load_rms_norm(cursor, before, options));
  }
  if (!after.empty()) {
    RAPID_TRY(out.after, load_rms_norm(cursor, after, options));
  }
  return out;
}

Result<SelfAttention> load_block_attention(
    const WeightCursor& cursor, const TransformerBlockOptions& o) {
  const BlockNormNames& names = o.norm_names;
  RAPID_TRY(
      BlockNorms around,
      load_block_norms(
          cursor, names.before_attention, names.after_attention, o.norm));
  return SelfAttention::load(
      cursor.scope("self_attn"), o.attention, std::move(around));
}

Result<TransformerBlock> TransformerBlock::load(
    const WeightCursor& cursor, const TransformerBlockOptions& o) {
  RAPID_TRY(SelfAttention attention, load_block_attention(cursor, o));
  const BlockNormNames& names = o.norm_names;
  RAPID_TRY(
      BlockNorms around_mlp,
      load_block_norms(cursor, names.before_mlp, names.after_mlp, o.norm));
  RAPID_TRY(
      Mlp mlp, Mlp::load(cursor.scope("mlp"), o.mlp, std::move(around_mlp)));
  return TransformerBlock(std::move(attention), std::move(mlp));
}

}  // namespace rapid
