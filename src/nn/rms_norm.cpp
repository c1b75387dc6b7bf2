#include "nn/rms_norm.h"

#include <string>

namespace rapid {

Result<RmsNorm> load_rms_norm(
    const WeightCursor& cursor,
    std::string_view name,
    const RmsNormOptions& options) {
  RAPID_TRY(
      mx::array weight,
      cursor.vector(std::string(name) + ".weight", options.size));
  if (options.offset != 0.0f) {
    weight = mx::add(weight, mx::array(options.offset));
  }
  mx::eval(weight);
  return RmsNorm{std::move(weight), options.eps};
}

RmsNorm plain_rms_norm(int size, float eps) {
  mx::array weight = mx::ones({size});
  weight.eval();
  return {std::move(weight), eps};
}

}  // namespace rapid
