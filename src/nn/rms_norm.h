// Loads x / sqrt(mean(x^2) + eps) * (weight + offset) over the last axis.
#pragma once

#include <string_view>

#include "kernels/elementwise.h"
#include "tensor/weight_map.h"

namespace rapid {

struct RmsNormOptions {
  int size = 0;
  float eps = 1e-6f;
  float offset = 0.0f;  // 1 where the file stores the weight less one
};

// Takes <name>.weight.
Result<RmsNorm> load_rms_norm(
    const WeightCursor& cursor,
    std::string_view name,
    const RmsNormOptions& options);

// The same without a weight.
RmsNorm plain_rms_norm(int size, float eps);

}  // namespace rapid
