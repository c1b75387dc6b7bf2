// y = x W^T (+ b), W as its file stores it.
//
//   RAPID_TRY(auto down, Linear::load(mlp, {"down_proj", inner, hidden}));
//   mx::array y = down(x);  // [T, inner] -> [T, hidden]
#pragma once

#include <optional>
#include <string_view>

#include "kernels/linear.h"
#include "tensor/weight_map.h"

namespace rapid {

enum class Bias { none, required, if_present };

struct LinearOptions {
  std::string_view name;  // below the cursor; parameters name.weight, .bias
  int inputs = 0;
  int outputs = 0;
  Bias bias = Bias::none;
};

class Linear {
 public:
  // Errors: corrupt, naming the parameter that is missing or misshapen.
  static Result<Linear> load(
      const WeightCursor& cursor, const LinearOptions& options);
  explicit Linear(
      WeightPtr weight, std::optional<mx::array> bias = std::nullopt)
      : weight_(std::move(weight)), bias_(std::move(bias)) {}

  mx::array operator()(const mx::array& x) const {
    return linear(x, weight_, bias_);
  }

 private:
  WeightPtr weight_;
  std::optional<mx::array> bias_;
};

}  // namespace rapid
