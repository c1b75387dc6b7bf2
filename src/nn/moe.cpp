#include "nn/moe.h"

#include <fmt/format.h>

namespace rapid {

ExpertBank bank_of(
    const WeightPtr& all, int experts, const ExpertPlace& place) {
  ExpertBank out;
  out.rows = place.rows;
  if (stack_fits(place.first, place.stride) &&
      stack_fits(place.rows, place.stride)) {
    out.weights = {all};
    out.first = place.first;
    out.stride = place.stride;
    return out;
  }
  for (int e = 0; e < experts; ++e) {
    out.weights.push_back(
        row_slice(*all, place.first + int64_t{e} * place.stride, place.rows));
  }
  return out;
}

Result<Linear> load_exact(
    const WeightCursor& cursor, const LinearOptions& options) {
  Linear out;
  RAPID_TRY(
      const WeightPtr weight,
      cursor.matrix(options.name, options.outputs, options.inputs));
  auto exact = std::make_shared<Weight>(*weight);
  exact->exact = true;
  prepare(*exact);
  out.weight = std::move(exact);
  const std::string bias = fmt::format("{}.bias", options.name);
  if (options.bias == Bias::required ||
      (options.bias == Bias::if_present && cursor.has(bias))) {
    RAPID_TRY(out.bias, cursor.vector(bias, options.outputs));
  }
  return out;
}

namespace {

std::string joined(std::string_view a, std::string_view b) {
  return fmt::format("{}.{}", a, b);
}

bool has_stack(const WeightCursor& cursor, const std::string& name) {
  return cursor.has(name) || cursor.has(name + ".weight");
}

Result<ExpertBank> load_stack(
    const WeightCursor& cursor,
    const std::string& module,
    const MoeOptions& o,
    int rows,
    int cols) {
  RAPID_TRY(const WeightPtr all, cursor.stack(module, o.experts, rows, cols));
  ExpertBank out = bank_of(all, o.experts, {0, rows, rows});
  const std::string bias = module + ".bias";
  if (o.bias == Bias::required ||
      (o.bias == Bias::if_present && cursor.has(bias))) {
    RAPID_TRY(out.biases, cursor.table(bias, o.experts, rows));
  }
  return out;
}

Result<ExpertBank> load_apart(
    const WeightCursor& cursor,
    std::string_view experts,
    std::string_view name,
    const MoeOptions& o,
    int rows,
    int cols) {
  ExpertBank out;
  out.rows = rows;
  for (int e = 0; e < o.experts; ++e) {
    RAPID_TRY(
        WeightPtr weight,
        cursor.matrix(fmt::format("{}.{}.{}", experts, e, name), rows, cols));
    out.weights.push_back(std::move(weight));
  }
  return out;
}

Result<ExpertBanks> load_banks(
    const WeightCursor& cursor, const MoeOptions& o) {
  const MoeNames& n = o.names;
  const bool gated = o.activation.kind != Gating::squared_relu_up;
  ExpertBanks out;
  for (const std::string_view scope : {n.experts, n.stack}) {
    const std::string fused = joined(scope, "gate_up_proj");
    if (!gated || !has_stack(cursor, fused)) {
      continue;
    }
    const int both = 2 * o.inner;
    RAPID_TRY(
        const WeightPtr all, cursor.stack(fused, o.experts, both, o.hidden));
    out.gate = bank_of(all, o.experts, {0, o.inner, both});
    out.up = bank_of(all, o.experts, {o.inner, o.inner, both});
    RAPID_TRY(
        out.down,
        load_stack(cursor, joined(scope, n.down), o, o.hidden, o.inner));
    return out;
  }
  for (const std::string_view stack : {n.stack, n.experts}) {
    if (!has_stack(cursor, joined(stack, n.up))) {
      continue;
    }
    const auto load = [&](std::string_view name, int rows, int cols) {
      return load_stack(cursor, joined(stack, name), o, rows, cols);
    };
    if (gated) {
      RAPID_TRY(out.gate, load(n.gate, o.inner, o.hidden));
    }
    RAPID_TRY(out.up, load(n.up, o.inner, o.hidden));
    RAPID_TRY(out.down, load(n.down, o.hidden, o.inner));
    return out;
  }
  const auto load = [&](std::string_view name, int rows, int cols) {
    return load_apart(cursor, n.experts, name, o, rows, cols);
  };
  if (gated) {
    RAPID_TRY(out.gate, load(n.each_gate, o.inner, o.hidden));
  }
  RAPID_TRY(out.up, load(n.each_up, o.inner, o.hidden));
  RAPID_TRY(out.down, load(n.each_down, o.hidden, o.inner));
  return out;
}

Result<SharedExpert> load_shared(
    const WeightCursor& cursor, const MoeOptions& o) {
  // GGUF has one name for what checkpoints call shared_expert or _experts.
  const std::string gguf =
      joined("shared_experts", o.names.each_up) + ".weight";
  const WeightCursor shared =
      cursor.scope(cursor.has(gguf) ? "shared_experts" : o.names.shared);
  const auto load = [&](std::string_view name, int inputs, int outputs) {
    return load_linear(shared, {name, inputs, outputs, o.shared_bias});
  };
  SharedExpert out;
  out.scale = o.shared_scale;
  const bool gated = o.activation.kind != Gating::squared_relu_up;
  if (gated && shared.has("gate_up_proj.weight")) {
    RAPID_TRY(
        auto both,
        load_split(
            shared,
            "gate_up_proj",
            o.hidden,
            {o.shared_inner, o.shared_inner}));
    out.gate = std::move(both[0]);
    out.up = std::move(both[1]);
  } else {
    if (gated) {
      RAPID_TRY(out.gate, load(o.names.each_gate, o.hidden, o.shared_inner));
    }
    RAPID_TRY(out.up, load(o.names.each_up, o.hidden, o.shared_inner));
  }
  RAPID_TRY(out.down, load(o.names.each_down, o.shared_inner, o.hidden));
  if (o.shared_weighted) {
    RAPID_TRY(
        out.weight, load_exact(cursor, {o.names.shared_weight, o.hidden, 1}));
  }
  return out;
}

Result<Router> load_router(const WeightCursor& cursor, const MoeOptions& o) {
  Router out;
  if (!o.scores_given) {
    RAPID_TRY(
        out.gate,
        load_exact(
            cursor, {o.names.router, o.hidden, o.experts, o.router_bias}));
  }
  out.score = o.score;
  out.top_k = o.top_k;
  out.groups = o.groups;
  out.top_groups = o.top_groups;
  out.group_best = o.group_best;
  out.renormalise = o.renormalise;
  out.scale = o.scale;
  out.own_norm = o.router_norm;
  out.expert_scale = o.expert_scale;
  const std::string gguf = joined(o.names.router, "e_score_correction.bias");
  const std::string name(cursor.has(gguf) ? gguf : o.names.correction);
  if (o.correction == Bias::required ||
      (o.correction == Bias::if_present && cursor.has(name))) {
    // [E], or [1, E].
    RAPID_TRY(
        const mx::array values,
        cursor.floats(
            name,
            cursor.shape(name).size() == 2 ? std::vector<int64_t>{1, o.experts}
                                           : std::vector<int64_t>{o.experts}));
    mx::array flat = mx::flatten(values);
    flat.eval();
    out.correction = std::move(flat);
  }
  return out;
}

}  // namespace

Result<Moe> Moe::load(
    const WeightCursor& cursor,
    const MoeOptions& o,
    BlockNorms norms,
    std::optional<ExpertBanks> given) {
  auto out = std::make_shared<MixtureOfExperts>();
  out->experts = o.experts;
  out->activation = o.activation;
  RAPID_TRY(out->router, load_router(cursor, o));
  ExpertBanks banks;
  if (given) {
    banks = *std::move(given);
  } else {
    RAPID_TRY(banks, load_banks(cursor, o));
  }
  out->gate = std::move(banks.gate);
  out->up = std::move(banks.up);
  out->down = std::move(banks.down);
  for (ExpertBank* bank :
       {out->gate ? &*out->gate : nullptr, &out->up, &out->down}) {
    if (bank) {
      prepare(*bank, o.experts);
    }
  }
  if (o.shared_inner > 0) {
    RAPID_TRY(out->shared, load_shared(cursor, o));
  }
  out->before = std::move(norms.before);
  out->after = std::move(norms.after);
  return Moe(std::move(out));
}

Result<FeedForward> load_feed_forward(
    const WeightCursor& layer,
    const MlpOptions& dense,
    const MoeLayerOptions* sparse,
    BlockNorms norms) {
  if (!sparse) {
    RAPID_TRY(Mlp out, Mlp::load(layer.scope("mlp"), dense, std::move(norms)));
    return FeedForward(std::move(out));
  }
  RAPID_TRY(
      Moe out,
      Moe::load(
          layer.scope(sparse->scope),
          sparse->moe,
          std::move(norms),
          sparse->banks));
  return FeedForward(std::move(out));
}

Result<MoeLayer> MoeLayer::load(
    const WeightCursor& cursor,
    const TransformerBlockOptions& o,
    const MoeLayerOptions* sparse) {
  RAPID_TRY(SelfAttention attention, load_block_attention(cursor, o));
  const BlockNormNames& names = o.norm_names;
  RAPID_TRY(
      BlockNorms around_mlp,
      load_block_norms(cursor, names.before_mlp, names.after_mlp, o.norm));
  RAPID_TRY(
      FeedForward mlp,
      load_feed_forward(cursor, o.mlp, sparse, std::move(around_mlp)));
  return MoeLayer{std::move(attention), std::move(mlp)};
}

Status check_experts(const MoeOptions& o) {
  const bool grouped = o.groups >= 1 && o.experts % o.groups == 0 &&
                       o.top_groups >= 1 && o.top_groups <= o.groups;
  if (o.top_k <= o.experts && grouped) {
    return {};
  }
  return Error{
      ErrorCode::corrupt,
      fmt::format(
          "model configuration: {} of {} experts in {} of {} groups",
          o.top_k,
          o.experts,
          o.top_groups,
          o.groups),
      "the model's config.json or GGUF metadata is incomplete",
      "num_experts_per_tok"};
}

int moe_row_floats(const MoeOptions& o) {
  // The normed row as float32 and int8, the router's scores, the choices,
  // and the inner rows of all experts that it meets.
  return 2 * o.hidden + o.experts + 4 * o.top_k + o.top_k * o.inner +
         o.shared_inner;
}

}  // namespace rapid
