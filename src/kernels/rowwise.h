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

}  // namespace rapid
