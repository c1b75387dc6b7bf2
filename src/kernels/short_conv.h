// Causal convolution of each channel with its last few inputs, silu or not:
//
//   y[t][c] = bias[c] + sum_j weight[j][c] x[t - kernel + 1 + j][c]
//
// `before` [kernel - 1, C] are the inputs before the first row. The sum has one
// order, so any split of the rows gives the same bits.
#pragma once

#include <mlx/mlx.h>

#include <optional>

#include "kernels/fold.h"

namespace rapid {

struct ConvRows {
  mx::array out;    // [n, C]
  mx::array after;  // [kernel - 1, C], the inputs before the next row
};

// By plain ops: the definition for kernels that convolve on their way.
ConvRows short_conv_reference(
    const mx::array& x,
    const mx::array& before,
    const mx::array& weight,
    const std::optional<mx::array>& bias,
    bool silu);

}  // namespace rapid
