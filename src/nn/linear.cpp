#include "nn/linear.h"

namespace rapid {

Result<Linear> Linear::load(
    const WeightCursor& cursor, const LinearOptions& options) {
  RAPID_TRY(
      WeightPtr weight,
      cursor.matrix(options.name, options.outputs, options.inputs));
  const std::string bias = std::string(options.name) + ".bias";
  if (options.bias == Bias::none ||
      (options.bias == Bias::if_present && !cursor.has(bias))) {
    return Linear(std::move(weight));
  }
  RAPID_TRY(mx::array values, cursor.vector(bias, options.outputs));
  return Linear(std::move(weight), std::move(values));
}

}  // namespace rapid
