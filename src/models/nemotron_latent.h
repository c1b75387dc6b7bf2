// Nemotron 3's experts over a latent projection: the router and the shared part
// see the norm's rows, the experts a narrower projection of them.
#pragma once

#include <functional>

#include "models/decoder.h"
#include "nn/moe.h"

namespace rapid {

struct LatentExpertsOptions {
  MoeOptions moe;  // hidden: the model's width
  int latent = 0;  // what the experts see
  Bias bias = Bias::none;
};

// x + up(sum_e w_e E_e(down(n))) + S(n), n = before(x), weights by n.
Result<LayerPart> load_latent_experts(
    const WeightCursor& mixer,
    const LatentExpertsOptions& options,
    const RmsNorm& before);

// x + down(max(up(before(x)), 0)^2), and the last x apart: `onto` the sum.
using ReluMlp =
    std::function<mx::array(const mx::array& x, const mx::array& onto)>;

struct ReluMlpOptions {
  int hidden = 0;
  int inner = 0;
  Bias bias = Bias::none;
};

Result<ReluMlp> load_relu_mlp(
    const WeightCursor& cursor,
    const ReluMlpOptions& options,
    const RmsNorm& before);

}  // namespace rapid
