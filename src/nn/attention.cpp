#include "nn/attention.h"

#include "state/paged_kv.h"

namespace rapid {

Result<SelfAttention> SelfAttention::load(
    const WeightCursor& cursor, const SelfAttentionOptions& o) {
  const int q_width = o.heads * o.head_dim;
  const int kv_width = o.kv_heads * o.head_dim;
  RAPID_TRY(
      Linear q,
      Linear::load(cursor, {"q_proj", o.hidden, q_width, o.qkv_bias}));
  RAPID_TRY(
      Linear k,
      Linear::load(cursor, {"k_proj", o.hidden, kv_width, o.qkv_bias}));
  RAPID_TRY(
      Linear v,
      Linear::load(cursor, {"v_proj", o.hidden, kv_width, o.qkv_bias}));
  RAPID_TRY(
      Linear out,
      Linear::load(cursor, {"o_proj", q_width, o.hidden, o.output_bias}));
  SelfAttention block(
      o, std::move(q), std::move(k), std::move(v), std::move(out));
  if (o.head_norm) {
    RAPID_TRY(block.q_norm_, RmsNorm::load(cursor, "q_norm", *o.head_norm));
    RAPID_TRY(block.k_norm_, RmsNorm::load(cursor, "k_norm", *o.head_norm));
  }
  return block;
}

mx::array SelfAttention::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const int rows = x.shape(0);
  const int dim = options_.head_dim;
  mx::array q = mx::reshape(q_(x), {rows, options_.heads, dim});
  mx::array k = mx::reshape(k_(x), {rows, options_.kv_heads, dim});
  const mx::array v = mx::reshape(v_(x), {rows, options_.kv_heads, dim});
  if (q_norm_) {
    q = (*q_norm_)(q);
    k = (*k_norm_)(k);
  }
  q = rope_(q, batch.positions);
  k = rope_(k, batch.positions);

  std::vector<AttentionRows> parts;
  parts.reserve(batch.sequences.size());
  for (const RaggedBatch::Rows& sequence : batch.sequences) {
    LayerState& state = *sequence.states->at(static_cast<size_t>(layer));
    PageList* pages = dynamic_cast<PagedKv&>(state).prepare(sequence.count);
    parts.push_back({pages, sequence.first, sequence.count});
  }
  const mx::array mixed = attention(q, k, v, parts, options_.attention);
  return o_(mx::reshape(mixed, {rows, options_.heads * dim}));
}

}  // namespace rapid
