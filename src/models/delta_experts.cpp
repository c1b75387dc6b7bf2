// The sparse layers of hybrids of gated delta nets: a softmax router and a
// shared expert that has a gate of its own.
#include <algorithm>
#include <utility>

#include "models/delta_hybrid.h"
#include "models/moe_config.h"
#include "nn/moe.h"

namespace rapid {

namespace {

Result<MoeOptions> read_moe(const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  MoeOptions out{.hidden = shape.hidden};
  RAPID_TRY(out.inner, in.count("moe_intermediate_size"));
  RAPID_TRY(out.experts, read_expert_count(config));
  RAPID_TRY(out.top_k, in.count("num_experts_per_tok"));
  out.renormalise = in.flag_or("norm_topk_prob", true);
  RAPID_TRY(out.shared_inner, in.count("shared_expert_intermediate_size"));
  out.shared_weighted = true;
  out.names.shared = "shared_expert";
  RAPID_CHECK(check_experts(out));
  return out;
}

}  // namespace

Result<DeltaFeedForward> read_feed_forward(
    const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  DeltaFeedForward out;
  const Json& count = in.has("num_local_experts") ? in.at("num_local_experts")
                                                  : in.at("num_experts");
  if (count.is_null() || count == 0) {
    return out;
  }
  RAPID_TRY(const MoeOptions moe, read_moe(config, shape));
  RAPID_TRY(const int step, in.count_or("decoder_sparse_step", 1));
  std::vector<bool> sparse;
  const Json& dense = in.at("mlp_only_layers");
  for (int i = 0; i < shape.layers; ++i) {
    const bool named =
        dense.is_array() && std::ranges::find(dense, Json(i)) != dense.end();
    sparse.push_back(!named && (i + 1) % step == 0);
  }
  out.row_floats = moe_row_floats(moe);
  out.load = [moe, sparse](
                 const WeightCursor& layer,
                 int index,
                 const RmsNorm& before) -> Result<std::optional<LayerPart>> {
    if (!sparse[static_cast<size_t>(index)]) {
      return std::optional<LayerPart>();
    }
    RAPID_TRY(
        Moe experts,
        Moe::load(layer.scope("mlp"), moe, {before, std::nullopt}));
    return std::optional<LayerPart>(rows_part(std::move(experts)));
  };
  return out;
}

}  // namespace rapid
