// The mixer of a short convolution layer (LFM2) between its projections, as one
// node. Per row, which holds b, c and x [D] one after another:
//
//   u = b x;  out = c conv(u)        conv over the last `kernel` tokens' u
//
// A sequence's array: the last u [kernel - 1, D]. All float32; any split of the
// rows into calls gives the same bits.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "kernels/fold.h"

namespace rapid {

struct GatedConv {
  mx::array weight;               // [kernel, D], the latest token's last
  std::optional<mx::array> bias;  // [D]
};

using GatedConvPtr = std::shared_ptr<const GatedConv>;

// x [T, 3 D] -> out [T, D]. Throws std::invalid_argument where shapes do not
// fit.
Folded gated_conv(
    const mx::array& x,
    const GatedConvPtr& layer,
    std::span<const FoldRows> batch);

Folded gated_conv_reference(
    const mx::array& x,
    const GatedConv& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
