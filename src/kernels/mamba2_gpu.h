// mamba2() and gated_conv() by our GPU kernels. Mamba2: heads of 32, 64 or 128
// columns, states of 64 to 256 rows in steps of 64.
#pragma once

#include <optional>

#include "kernels/gated_conv.h"
#include "kernels/mamba2.h"

namespace rapid {

// Nothing where the case is not known.
std::optional<Folded> mamba2_gpu(
    const mx::array& x, const Mamba2& layer, std::span<const FoldRows> batch);

std::optional<Folded> gated_conv_gpu(
    const mx::array& x,
    const GatedConv& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
