// x / sqrt(mean(x^2) + eps) * (weight + offset) over the last axis.
#pragma once

#include <string>
#include <string_view>

#include "kernels/elementwise.h"
#include "tensor/weight_map.h"

namespace rapid {

struct RmsNormOptions {
  int size = 0;
  float eps = 1e-6f;
  float offset = 0.0f;  // 1 where the file stores the weight less one
};

class RmsNorm {
 public:
  // Takes <name>.weight.
  static Result<RmsNorm> load(
      const WeightCursor& cursor,
      std::string_view name,
      const RmsNormOptions& options);

  mx::array operator()(const mx::array& x) const {
    return rms_norm(x, weight_, eps_);
  }

 private:
  RmsNorm(mx::array weight, float eps)
      : weight_(std::move(weight)), eps_(eps) {}
  mx::array weight_;
  float eps_;
};

}  // namespace rapid
