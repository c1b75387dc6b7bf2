// down(activation(gate(x)) * up(x)): parameters gate_proj, up_proj and
// down_proj below the cursor.
#pragma once

#include "kernels/elementwise.h"
#include "nn/linear.h"

namespace rapid {

struct GatedMlpOptions {
  int hidden = 0;
  int inner = 0;
  Activation activation = Activation::silu;
  Bias bias = Bias::none;
};

class GatedMlp {
 public:
  static Result<GatedMlp> load(
      const WeightCursor& cursor, const GatedMlpOptions& options);

  // x [T, hidden] -> [T, hidden].
  mx::array operator()(const mx::array& x) const {
    return down_(gated(gate_(x), up_(x), activation_));
  }

 private:
  GatedMlp(Linear gate, Linear up, Linear down, Activation activation)
      : gate_(std::move(gate)),
        up_(std::move(up)),
        down_(std::move(down)),
        activation_(activation) {}

  Linear gate_, up_, down_;
  Activation activation_;
};

}  // namespace rapid
