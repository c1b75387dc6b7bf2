#include "nn/attention.h"

#include "state/paged_kv.h"

namespace rapid {

Result<SelfAttention> SelfAttention::load(
    const WeightCursor& cursor,
    const SelfAttentionOptions& o,
    BlockNorms norms) {
  const int q_width = o.heads * o.head_dim;
  const int kv_width = o.kv_heads * o.head_dim;
  auto qkv = std::make_shared<Projection>();
  qkv->before = std::move(norms.before);
  for (const LinearOptions& part :
       {LinearOptions{"q_proj", o.hidden, q_width, o.qkv_bias},
        LinearOptions{"k_proj", o.hidden, kv_width, o.qkv_bias},
        LinearOptions{"v_proj", o.hidden, kv_width, o.qkv_bias}}) {
    RAPID_TRY(Linear linear, load_linear(cursor, part));
    qkv->parts.push_back(std::move(linear));
  }
  RAPID_TRY(
      Linear back,
      load_linear(cursor, {"o_proj", q_width, o.hidden, o.output_bias}));
  auto out = std::make_shared<Projection>();
  out->parts.push_back(std::move(back));
  out->after = std::move(norms.after);

  AttentionOptions mix{
      .heads = o.heads,
      .scale = o.scale,
      .window = o.window,
      .softcap = o.softcap,
      .rope = o.rope};
  if (o.head_norm) {
    RAPID_TRY(mix.q_norm, load_rms_norm(cursor, "q_norm", *o.head_norm));
    RAPID_TRY(mix.k_norm, load_rms_norm(cursor, "k_norm", *o.head_norm));
  }
  return SelfAttention(
      std::move(qkv),
      std::make_shared<const Attention>(std::move(mix)),
      std::move(out));
}

mx::array SelfAttention::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  std::vector<AttentionRows> parts;
  parts.reserve(batch.sequences.size());
  for (const RaggedBatch::Rows& sequence : batch.sequences) {
    LayerState& state = *sequence.states->at(static_cast<size_t>(layer));
    PageList* pages = dynamic_cast<PagedKv&>(state).prepare(sequence.count);
    parts.push_back({pages, sequence.first, sequence.count});
  }
  return project(attention(project(x, qkv_), mix_, parts), out_, x);
}

}  // namespace rapid
