#include "nn/compressed_attention.h"

#include <cmath>

#include "nn/moe.h"
#include "state/compressed_kv.h"

namespace rapid {

namespace {

using Options = CompressedAttentionOptions;

using Loader = Result<Linear> (*)(const WeightCursor&, const LinearOptions&);

// The matrices of one space of entries, and how they come about.
Result<EntryRule> load_space(
    const WeightCursor& cursor,
    const Options& o,
    int dim,
    Loader load,
    Projection& in) {
  const int width = o.shape.series() * dim;
  for (const char* name : {"kv_proj", "gate_proj"}) {
    RAPID_TRY(Linear part, load(cursor, {name, o.hidden, width}));
    in.parts.push_back(std::move(part));
  }
  RAPID_TRY(mx::array bias, cursor.table("position_bias", o.shape.rate, width));
  RAPID_TRY(RmsNorm norm, load_rms_norm(cursor, "kv_norm", {dim, o.norm_eps}));
  return EntryRule{std::move(bias), std::move(norm)};
}

// Adds what the kernel finds in a row of `in`, in its order.
Result<CompressedAttentionPtr> load_mix(
    const WeightCursor& cursor, const Options& o, Projection& in) {
  const CompressedShape& s = o.shape;
  RAPID_TRY(
      RmsNorm key_norm, load_rms_norm(cursor, "kv_norm", {s.dim, o.norm_eps}));
  RAPID_TRY(mx::array sinks, cursor.vector("sinks", o.heads));
  sinks.eval();
  CompressedOptions mix{
      .shape = s,
      .heads = o.heads,
      .scale = 1.0f / std::sqrt(static_cast<float>(s.dim)),
      .q_eps = o.norm_eps,
      .key_norm = std::move(key_norm),
      .rope = o.rope,
      .sinks = std::move(sinks),
      .first = o.q_rank};
  RAPID_TRY(Linear keys, load_linear(cursor, {"kv_proj", o.hidden, s.dim}));
  in.parts.push_back(std::move(keys));
  if (s.rate > 0) {
    RAPID_TRY(
        mix.entries,
        load_space(cursor.scope("compressor"), o, s.dim, load_linear, in));
  }
  if (s.index_dim > 0) {
    const WeightCursor index = cursor.scope("indexer");
    // As a router's: a rounded score may pick another entry.
    RAPID_TRY(mix.index, load_space(index, o, s.index_dim, load_exact, in));
    mix.index_heads = o.index_heads;
    mix.top = o.top;
    RAPID_TRY(
        Linear weights,
        load_exact(index, {"weights_proj", o.hidden, o.index_heads}));
    in.parts.push_back(std::move(weights));
  }
  return std::make_shared<const CompressedAttention>(std::move(mix));
}

Result<ProjectionPtr> load_queries(
    const WeightCursor& cursor, const Options& o) {
  auto out = std::make_shared<Projection>();
  RAPID_TRY(
      out->before, load_rms_norm(cursor, "q_a_norm", {o.q_rank, o.norm_eps}));
  RAPID_TRY(
      Linear heads,
      load_linear(cursor, {"q_b_proj", o.q_rank, o.heads * o.shape.dim}));
  out->parts.push_back(std::move(heads));
  if (o.shape.index_dim > 0) {
    RAPID_TRY(
        Linear index,
        load_exact(
            cursor,
            {"indexer.q_b_proj", o.q_rank, o.index_heads * o.shape.index_dim}));
    out->parts.push_back(std::move(index));
  }
  return ProjectionPtr(std::move(out));
}

// A matrix for each group of heads: the heads of latent_values().
Result<LatentHeadsPtr> load_groups(
    const WeightCursor& cursor, const Options& o) {
  const int width = o.heads * o.shape.dim / o.groups;
  RAPID_TRY(
      const WeightPtr all,
      cursor.matrix("o_a_proj", int64_t{o.groups} * o.rank, width));
  auto out = std::make_shared<LatentHeads>(LatentHeads{
      .heads = o.groups,
      .rank = width,
      .values = o.rank,
      .absorb = {},
      .release = bank_of(all, o.groups, {0, o.rank, o.rank}),
      .norm = {mx::array(1.0f)}});
  prepare(out->release, o.groups);
  return LatentHeadsPtr(std::move(out));
}

}  // namespace

Result<CompressedAttentionLayer> CompressedAttentionLayer::load(
    const WeightCursor& cursor, const Options& o, RmsNorm before) {
  CompressedAttentionLayer out;
  out.q_rank_ = o.q_rank;
  auto in = std::make_shared<Projection>();
  in->before = std::move(before);
  RAPID_TRY(
      Linear first, load_linear(cursor, {"q_a_proj", o.hidden, o.q_rank}));
  in->parts.push_back(std::move(first));
  RAPID_TRY(out.mix_, load_mix(cursor, o, *in));
  out.in_ = std::move(in);
  RAPID_TRY(out.q_, load_queries(cursor, o));
  RAPID_TRY(out.groups_, load_groups(cursor, o));
  auto back = std::make_shared<Projection>();
  RAPID_TRY(
      Linear matrix,
      load_linear(cursor, {"o_b_proj", o.groups * o.rank, o.hidden}));
  back->parts.push_back(std::move(matrix));
  out.out_ = std::move(back);
  return out;
}

mx::array CompressedAttentionLayer::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const mx::array in = project(x, in_);
  const mx::array q =
      project(mx::slice(in, {0, 0}, {in.shape(0), q_rank_}), q_);
  std::vector<CompressedRows> parts;
  parts.reserve(batch.sequences.size());
  for (const RaggedBatch::Rows& sequence : batch.sequences) {
    LayerState& state = *sequence.states->at(static_cast<size_t>(layer));
    CompressedLists* lists =
        dynamic_cast<CompressedKv&>(state).prepare(sequence.count);
    parts.push_back({lists, sequence.first, sequence.count});
  }
  return project(
      latent_values(compressed_attention(q, in, mix_, parts), groups_), out_);
}

int compressed_row_floats(const Options& o) {
  const CompressedShape& s = o.shape;
  // q from its rank, the row of the kernel, what comes of the heads.
  return 2 * o.q_rank + s.token_width() + o.index_heads * (1 + s.index_dim) +
         2 * o.heads * s.dim + o.groups * o.rank;
}

}  // namespace rapid
