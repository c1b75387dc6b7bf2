#include "nn/linear.h"

namespace rapid {

Result<Linear> load_linear(
    const WeightCursor& cursor, const LinearOptions& options) {
  Linear out;
  RAPID_TRY(
      out.weight, cursor.matrix(options.name, options.outputs, options.inputs));
  prepare(*out.weight);
  const std::string bias = std::string(options.name) + ".bias";
  if (options.bias == Bias::required ||
      (options.bias == Bias::if_present && cursor.has(bias))) {
    RAPID_TRY(out.bias, cursor.vector(bias, options.outputs));
  }
  return out;
}

}  // namespace rapid
