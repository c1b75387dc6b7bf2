#include "tensor/weight.h"

#include "hub/dequantise.h"
#include "tensor/mlx_dequantise.h"

namespace rapid {

mx::array weight_to_float(const Weight& weight) {
  const bool vector = weight.data.shape.size() == 1;
  const auto rows = static_cast<int>(weight.rows);
  const auto cols = static_cast<int>(weight.cols);
  const auto count = static_cast<size_t>(weight.rows * weight.cols);
  mx::array out(
      mx::allocator::malloc(count * sizeof(float)),
      vector ? mx::Shape{rows} : mx::Shape{rows, cols},
      mx::float32);
  const std::span<float> values(out.data<float>(), count);
  if (weight.scheme) {
    dequantise_mlx(weight, values);
  } else {
    dequantise(weight.data.type, weight.data.bytes, values);
  }
  return out;
}

}  // namespace rapid
