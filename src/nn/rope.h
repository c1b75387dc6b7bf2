// Rotary position embedding of one kind of layer.
//
//   Rope rope({.dims = 64, .base = 1e6f});
//   q = rope(q, batch.positions);  // [T, H, D]
#pragma once

#include "kernels/elementwise.h"

namespace rapid {

class Rope {
 public:
  explicit Rope(RopeOptions options) : options_(std::move(options)) {}

  mx::array operator()(const mx::array& x, const mx::array& positions) const {
    return rope(x, positions, options_);
  }

 private:
  RopeOptions options_;
};

}  // namespace rapid
