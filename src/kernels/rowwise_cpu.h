// The CPU kernels behind rowwise.h: same contracts, row-invariant.
#pragma once

#include "kernels/rowwise.h"

namespace rapid {

mx::array grouped_norm_cpu(
    const mx::array& x,
    const RmsNorm& norm,
    const std::optional<mx::array>& add);

mx::array gated_columns_cpu(
    const mx::array& gate,
    const mx::array& wide,
    int column,
    Activation activation);

mx::array above_spread_cpu(const mx::array& x, int count, float deviations);

mx::array as_long_as_cpu(const mx::array& x, const mx::array& like);

}  // namespace rapid
