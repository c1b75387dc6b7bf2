#include "nn/latent_attention.h"

#include <memory>
#include <span>
#include <vector>

#include "nn/moe.h"
#include "state/paged_kv.h"

namespace rapid {

namespace {

// The transpose of rows [first, first + rows) of a weight, as float32.
WeightPtr transposed(const Weight& weight, int first, int rows) {
  const mx::array part = weight_to_float(*row_slice(weight, first, rows));
  const auto cols = static_cast<int>(weight.cols);
  auto memory = std::make_shared<std::vector<float>>(part.size());
  const float* from = part.data<float>();
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols; ++c) {
      (*memory)[static_cast<size_t>(c) * rows + r] =
          from[static_cast<size_t>(r) * cols + c];
    }
  }
  auto out = std::make_shared<Weight>();
  out->name = weight.name;
  out->rows = cols;
  out->cols = rows;
  out->data.name = weight.name;
  out->data.shape = {cols, rows};
  out->data.bytes = std::as_bytes(std::span(*memory));
  out->exact = weight.exact;
  out->memory = std::move(memory);
  return out;
}

// A stack [heads, rows, cols], or where it is a matrix of all their rows.
Result<WeightPtr> stack_of(
    const WeightCursor& cursor,
    std::string_view name,
    int heads,
    int rows,
    int cols) {
  const auto shape = cursor.shape(std::string(name) + ".weight");
  return shape.size() == 2 ? cursor.matrix(name, int64_t{heads} * rows, cols)
                           : cursor.stack(name, heads, rows, cols);
}

Status load_banks(
    const WeightCursor& cursor,
    const LatentAttentionOptions& o,
    LatentHeads& out) {
  if (cursor.has("embed_q.weight")) {
    RAPID_TRY(
        const WeightPtr in,
        stack_of(cursor, "embed_q", o.heads, o.rank, o.nope));
    RAPID_TRY(
        const WeightPtr back,
        stack_of(cursor, "unembed_out", o.heads, o.values, o.rank));
    out.absorb = bank_of(in, o.heads, {0, o.rank, o.rank});
    out.release = bank_of(back, o.heads, {0, o.values, o.values});
  } else {
    const int both = o.nope + o.values;
    RAPID_TRY(
        const WeightPtr all,
        cursor.matrix("kv_b_proj", int64_t{o.heads} * both, o.rank));
    out.release = bank_of(all, o.heads, {o.nope, o.values, both});
    out.absorb.rows = o.rank;
    for (int h = 0; h < o.heads; ++h) {
      out.absorb.weights.push_back(transposed(*all, h * both, o.nope));
    }
  }
  prepare(out.absorb, o.heads);
  prepare(out.release, o.heads);
  return {};
}

}  // namespace

Result<LatentAttention> LatentAttention::load(
    const WeightCursor& cursor,
    const LatentAttentionOptions& o,
    BlockNorms norms) {
  LatentAttention out;
  const int q_width = o.heads * (o.nope + o.rope);
  auto in = std::make_shared<Projection>();
  in->before = std::move(norms.before);
  if (o.q_rank > 0) {
    RAPID_TRY(
        Linear first,
        load_linear(cursor, {"q_a_proj", o.hidden, o.q_rank, o.bias}));
    in->parts.push_back(std::move(first));
    auto second = std::make_shared<Projection>();
    RAPID_TRY(
        second->before,
        load_rms_norm(cursor, "q_a_layernorm", {o.q_rank, o.norm_eps}));
    RAPID_TRY(
        Linear matrix, load_linear(cursor, {"q_b_proj", o.q_rank, q_width}));
    second->parts.push_back(std::move(matrix));
    out.q_ = std::move(second);
  } else {
    RAPID_TRY(Linear q, load_linear(cursor, {"q_proj", o.hidden, q_width}));
    in->parts.push_back(std::move(q));
  }
  out.q_width_ = o.q_rank > 0 ? o.q_rank : q_width;
  RAPID_TRY(
      Linear latent,
      load_linear(
          cursor, {"kv_a_proj_with_mqa", o.hidden, o.rank + o.rope, o.bias}));
  in->parts.push_back(std::move(latent));
  out.in_ = std::move(in);

  RAPID_TRY(
      RmsNorm norm,
      load_rms_norm(cursor, "kv_a_layernorm", {o.rank, o.norm_eps}));
  auto heads = std::make_shared<LatentHeads>(LatentHeads{
      .heads = o.heads,
      .nope = o.nope,
      .rope = o.rope,
      .rank = o.rank,
      .values = o.values,
      .first = out.q_width_,
      .absorb = {},
      .release = {},
      .norm = std::move(norm)});
  RAPID_CHECK(load_banks(cursor, o, *heads));
  out.heads_ = std::move(heads);

  AttentionOptions mix;
  mix.heads = o.heads;
  mix.scale = o.scale;
  mix.rope = o.rotation;
  mix.source = KvSource::key;
  out.mix_ = std::make_shared<const Attention>(std::move(mix));

  auto back = std::make_shared<Projection>();
  RAPID_TRY(
      Linear matrix,
      load_linear(cursor, {"o_proj", o.heads * o.values, o.hidden, o.bias}));
  back->parts.push_back(std::move(matrix));
  back->after = std::move(norms.after);
  out.out_ = std::move(back);
  return out;
}

mx::array LatentAttention::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const mx::array in = project(x, in_);
  const mx::array q =
      q_ ? project(mx::slice(in, {0, 0}, {in.shape(0), q_width_}), q_) : in;
  std::vector<AttentionRows> parts;
  parts.reserve(batch.sequences.size());
  for (const RaggedBatch::Rows& sequence : batch.sequences) {
    LayerState& state = *sequence.states->at(static_cast<size_t>(layer));
    PageList* pages = dynamic_cast<PagedKv&>(state).prepare(sequence.count);
    parts.push_back({pages, sequence.first, sequence.count});
  }
  const mx::array seen = attention(latent_qkv(q, in, heads_), mix_, parts);
  return project(latent_values(seen, heads_), out_, x);
}

int latent_row_floats(const LatentAttentionOptions& o) {
  const int heads = o.heads * (o.nope + o.rope);  // of q
  const int width = o.rope + o.rank;
  // q from its rank, the rows for attention, what comes of them twice over.
  return o.q_rank + heads + 2 * width + 3 * o.heads * width +
         o.heads * o.values;
}

}  // namespace rapid
