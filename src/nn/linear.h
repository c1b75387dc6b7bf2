// Loads y = x W^T (+ b), W as its file stores it, ready for products.
//
//   RAPID_TRY(Linear down, load_linear(mlp, {"down_proj", inner, hidden}));
#pragma once

#include <string_view>
#include <vector>

#include "kernels/projection.h"
#include "tensor/weight_map.h"

namespace rapid {

enum class Bias { none, required, if_present };

struct LinearOptions {
  std::string_view name;  // below the cursor; parameters name.weight, .bias
  int inputs = 0;
  int outputs = 0;
  Bias bias = Bias::none;
};

// Errors: corrupt, naming the parameter that is missing or misshapen.
Result<Linear> load_linear(
    const WeightCursor& cursor, const LinearOptions& options);

// The rows of one matrix as several, `outputs` of each, without biases.
Result<std::vector<Linear>> load_split(
    const WeightCursor& cursor,
    std::string_view name,
    int inputs,
    const std::vector<int>& outputs);

}  // namespace rapid
