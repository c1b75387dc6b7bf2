#include "kernels/mixed_channels.h"

#include <algorithm>
#include <cmath>

#include "simd/kv_codes.h"

namespace rapid {

namespace {

float factor_of(int block) {
  return 1.0f / std::sqrt(static_cast<float>(block));
}

}  // namespace

int mixed_block(int dim) {
  return std::min(dim & -dim, KvCodes::kGroup);
}

mx::array mixed_channels(const mx::array& x) {
  const int dim = x.shape(-1);
  const int block = mixed_block(dim);
  const auto rows = static_cast<int>(x.size()) / dim;
  mx::array out = x;
  for (int half = 1; half < block; half *= 2) {
    out = mx::reshape(out, {rows, dim / (2 * half), 2, half});
    const mx::array a = mx::take(out, 0, 2);
    const mx::array b = mx::take(out, 1, 2);
    out = mx::stack({mx::add(a, b), mx::subtract(a, b)}, 2);
  }
  return mx::reshape(mx::multiply(out, mx::array(factor_of(block))), x.shape());
}

void mix_channels(float* x, int dim) {
  const int block = mixed_block(dim);
  for (int half = 1; half < block; half *= 2) {
    for (int first = 0; first < dim; first += 2 * half) {
      for (int i = first; i < first + half; ++i) {
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
  const float by = factor_of(block);
  for (int i = 0; i < dim; ++i) {
    x[i] *= by;
  }
}

}  // namespace rapid
