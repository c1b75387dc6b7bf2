// The weight of a convolution that has a kernel of its own in each channel.
#pragma once

#include <string_view>

#include "tensor/weight_map.h"

namespace rapid {

// <name>.weight as [C, 1, K], [C, K, 1] or [C, K] -> [K, C] float32, evaluated.
Result<mx::array> load_conv_weight(
    const WeightCursor& cursor,
    std::string_view name,
    int channels,
    int kernel);

}  // namespace rapid
