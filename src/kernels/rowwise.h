// Row-wise steps as nodes of their own, where no matrix product takes them in.
// All float32, row-invariant.
#pragma once

#include <optional>

#include "kernels/elementwise.h"

namespace rapid {

// Norms each group of norm.weight.size() columns of x [T, W] by itself, then
// adds `add` [T, W].
mx::array grouped_norm(
    const mx::array& x,
    const RmsNorm& norm,
    const std::optional<mx::array>& add = std::nullopt);
mx::array grouped_norm_reference(
    const mx::array& x,
    const RmsNorm& norm,
    const std::optional<mx::array>& add = std::nullopt);

// activation(gate) * the columns of `wide` [T, W] from `column` on; gate
// [T, K] -> [T, K].
mx::array gated_columns(
    const mx::array& gate,
    const mx::array& wide,
    int column,
    Activation activation);
mx::array gated_columns_reference(
    const mx::array& gate,
    const mx::array& wide,
    int column,
    Activation activation);

// What of the first `count` columns of each row x [T, W] lies above their mean
// plus `deviations` of their standard deviation, else 0 -> [T, count].
mx::array above_spread(const mx::array& x, int count, float deviations);
mx::array above_spread_reference(
    const mx::array& x, int count, float deviations);

// Each row of x [T, W] as long as that of `like` [T, W]: times the root of
// mean(like^2) / max(mean(x^2), 1e-5).
mx::array as_long_as(const mx::array& x, const mx::array& like);
mx::array as_long_as_reference(const mx::array& x, const mx::array& like);

}  // namespace rapid
