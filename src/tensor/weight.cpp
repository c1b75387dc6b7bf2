#include "tensor/weight.h"

#include "hub/dequantise.h"
#include "tensor/mlx_dequantise.h"

namespace rapid {

namespace {

TensorView rows_of(
    const TensorView& view, int64_t rows, int64_t first, int64_t count) {
  TensorView out = view;
  const size_t row = view.bytes.size() / static_cast<size_t>(rows);
  out.bytes = view.bytes.subspan(
      static_cast<size_t>(first) * row, static_cast<size_t>(count) * row);
  out.shape.front() = count;
  return out;
}

}  // namespace

WeightPtr row_slice(const Weight& weight, int64_t first, int64_t count) {
  auto out = std::make_shared<Weight>(weight);
  out->prepared = nullptr;
  out->rows = count;
  out->data = rows_of(weight.data, weight.rows, first, count);
  if (weight.scheme) {
    out->scales = rows_of(*weight.scales, weight.rows, first, count);
    if (weight.biases) {
      out->biases = rows_of(*weight.biases, weight.rows, first, count);
    }
  }
  return out;
}

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
