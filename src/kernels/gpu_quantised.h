// Products with MLX-affine matrices of 4 or 8 bits by our GPU kernels
// (gpu_kernel.h). Up to kFewRows rows: the codes are read once for 8 rows and
// meet x in float16 on tensor cores. More: the matrices become float16 once,
// for MLX's product. Sums and results are float32; x in float16 is normed or
// scaled to its largest value first, so nothing overflows.
//
// Each returns nothing where it does not know the case (other schemes, mixed
// parts); the caller's plain path does then.
#pragma once

#include <optional>

#include "kernels/gated_mlp.h"
#include "kernels/moe.h"
#include "kernels/projection.h"

namespace rapid {

constexpr int kFewRows = 32;

std::optional<mx::array> project_gpu(
    const mx::array& x,
    const Projection& projection,
    const std::optional<mx::array>& residual);

std::optional<mx::array> gated_mlp_gpu(
    const mx::array& x,
    const GatedMlp& mlp,
    const std::optional<mx::array>& residual);

// The chosen experts [T, k] of normed rows [T, K] -> [T, k, N], unweighted.
std::optional<mx::array> experts_gpu(
    const mx::array& x, const mx::array& experts, const MixtureOfExperts& moe);

}  // namespace rapid
