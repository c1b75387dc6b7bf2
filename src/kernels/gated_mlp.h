// The feed-forward part of a layer as one node:
//
//   y = residual + after(down(activation(gate(n)) * up(n))),  n = before(x)
//
// x [T, K] float32 -> y [T, K'] float32. Products as in projection.h, with
// what adapters add to each of the three.
#pragma once

#include <memory>
#include <optional>

#include "kernels/projection.h"

namespace rapid {

struct GatedMlp {
  Linear gate;
  Linear up;
  Linear down;
  Activation activation = Activation::silu;
  std::optional<RmsNorm> before;
  std::optional<RmsNorm> after;
};

using GatedMlpPtr = std::shared_ptr<const GatedMlp>;

mx::array gated_mlp(
    const mx::array& x,
    const GatedMlpPtr& mlp,
    const std::optional<mx::array>& residual = std::nullopt,
    AdaptedBatch adapted = {});

mx::array gated_mlp_reference(
    const mx::array& x,
    const GatedMlp& mlp,
    const std::optional<mx::array>& residual = std::nullopt,
    AdaptedBatch adapted = {});

}  // namespace rapid
