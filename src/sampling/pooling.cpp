#include "sampling/pooling.h"

#include <cmath>
#include <utility>

namespace rapid {

void normalise(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector) {
    squares += static_cast<double>(value) * value;
  }
  const double length = std::sqrt(squares);
  if (!(length > 0) || !std::isfinite(length)) {
    return;
  }
  for (float& value : vector) {
    value = static_cast<float>(value / length);
  }
}

void Pooler::add(std::span<const float> rows, size_t width) {
  sum_.resize(width, 0.0);
  for (size_t at = 0; at + width <= rows.size(); at += width, ++rows_) {
    if (kind_ == Pooling::first && rows_ > 0) {
      continue;
    }
    for (size_t i = 0; i < width; ++i) {
      sum_[i] = (kind_ == Pooling::mean ? sum_[i] : 0.0) + rows[at + i];
    }
  }
}

std::vector<float> Pooler::take() {
  std::vector<float> out(sum_.begin(), sum_.end());
  normalise(out);  // a mean's divisor is gone with the length
  sum_.clear();
  rows_ = 0;
  return out;
}

}  // namespace rapid
