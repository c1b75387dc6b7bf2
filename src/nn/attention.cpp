#include "nn/attention.h"

#include <algorithm>
#include <cmath>

#include "state/paged_kv.h"

namespace rapid {

namespace {

// The largest of the keys' biases; qkv as one matrix ends in keys and values.
float largest_key_bias(const Projection& qkv, int kv_width) {
  const bool fused = qkv.parts.size() == 1;
  const std::optional<mx::array>& bias = qkv.parts[fused ? 0 : 1].bias;
  if (!bias) {
    return 0;
  }
  const float* end = bias->data<float>() + bias->size();
  const float* first = end - (fused ? 2 : 1) * kv_width;
  float out = 0;
  for (const float* at = first; at < first + kv_width; ++at) {
    out = std::max(out, std::abs(*at));
  }
  return out;
}

}  // namespace

Result<SelfAttention> SelfAttention::load(
    const WeightCursor& cursor,
    const SelfAttentionOptions& o,
    BlockNorms norms) {
  const int q_width = o.heads * o.head_dim;
  const int kv_width = o.kv_heads * o.head_dim;
  auto qkv = std::make_shared<Projection>();
  qkv->before = std::move(norms.before);
  const int q_columns = (o.gated ? 2 : 1) * q_width;
  std::vector<LinearOptions> parts = {
      {"q_proj", o.hidden, q_columns, o.qkv_bias},
      {"k_proj", o.hidden, kv_width, o.qkv_bias},
      {"v_proj", o.hidden, kv_width, o.qkv_bias}};
  if (!o.fused.empty()) {
    parts = {{o.fused, o.hidden, q_columns + 2 * kv_width, o.qkv_bias}};
  }
  for (const LinearOptions& part : parts) {
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
      .rope = o.rope,
      .gated = o.gated,
      .growth = o.growth,
      .growth_tokens = o.growth_tokens};
  if (o.sinks) {
    const auto* name = cursor.has("sinks") ? "sinks" : "sinks.weight";  // GGUF
    RAPID_TRY(mix.sinks, cursor.vector(name, o.heads));
  }
  if (o.head_norm) {
    RmsNormOptions norm = *o.head_norm;
    norm.size = o.norm_whole ? q_width : norm.size;
    RAPID_TRY(mix.q_norm, load_rms_norm(cursor, o.q_norm, norm));
    norm.size = o.norm_whole ? kv_width : norm.size;
    RAPID_TRY(mix.k_norm, load_rms_norm(cursor, o.k_norm, norm));
    mix.norm_last = o.norm_last;
  }
  for (size_t i = 0; i < qkv->parts.size(); ++i) {
    const int heads = i == 0 ? o.heads : i == 1 ? o.kv_heads : 0;
    cursor.adaptable(qkv->parts[i].weight, o.paired_rows ? heads : 0);
  }
  cursor.adaptable(out->parts[0].weight);
  constexpr float kFar = 8;  // keys are some units long in most channels
  const bool far_keys = largest_key_bias(*qkv, kv_width) > kFar;
  SelfAttention attention(
      std::move(qkv),
      std::make_shared<const Attention>(std::move(mix)),
      std::move(out));
  attention.far_keys_ = far_keys;
  return attention;
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
  const mx::array rows = project(x, qkv_, std::nullopt, batch.adapted);
  return project(attention(rows, mix_, parts), out_, x, batch.adapted);
}

}  // namespace rapid
