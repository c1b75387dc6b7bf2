#include "nn/transformer_block.h"

namespace rapid {

namespace {

Result<BlockNorms> load_norms(
    const WeightCursor& cursor,
    std::string_view before,
    std::string_view after,
    const RmsNormOptions& options) {
  RAPID_TRY(RmsNorm first, load_rms_norm(cursor, before, options));
  BlockNorms out{.before = std::move(first), .after = std::nullopt};
  if (!after.empty()) {
    RAPID_TRY(out.after, load_rms_norm(cursor, after, options));
  }
  return out;
}

}  // namespace

Result<TransformerBlock> TransformerBlock::load(
    const WeightCursor& cursor, const TransformerBlockOptions& o) {
  const BlockNormNames& names = o.norm_names;
  RAPID_TRY(
      BlockNorms around_attention,
      load_norms(
          cursor, names.before_attention, names.after_attention, o.norm));
  RAPID_TRY(
      SelfAttention attention,
      SelfAttention::load(
          cursor.scope("self_attn"), o.attention, std::move(around_attention)));
  RAPID_TRY(
      BlockNorms around_mlp,
      load_norms(cursor, names.before_mlp, names.after_mlp, o.norm));
  RAPID_TRY(
      Mlp mlp, Mlp::load(cursor.scope("mlp"), o.mlp, std::move(around_mlp)));
  return TransformerBlock(std::move(attention), std::move(mlp));
}

}  // namespace rapid
