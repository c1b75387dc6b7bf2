#include "kernels/elementwise.h"

#include <cmath>
#include <numbers>

namespace rapid {

mx::array rms_norm_reference(const mx::array& x, const RmsNorm& norm) {
  const mx::array mean = mx::mean(mx::square(x), -1, true);
  const mx::array scale = mx::rsqrt(mx::add(mean, mx::array(norm.eps)));
  return mx::multiply(mx::multiply(x, scale), norm.weight);
}

mx::array gated_reference(
    const mx::array& gate, const mx::array& up, Activation activation) {
  if (activation == Activation::silu) {
    return mx::multiply(mx::multiply(gate, mx::sigmoid(gate)), up);
  }
  // 0.5 g (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3)))
  const auto root =
      static_cast<float>(std::sqrt(2.0 / std::numbers::pi_v<double>));
  const mx::array cube = mx::multiply(mx::square(gate), gate);
  const mx::array inner = mx::multiply(
      mx::add(gate, mx::multiply(cube, mx::array(0.044715f))), mx::array(root));
  const mx::array one = mx::add(mx::tanh(inner), mx::array(1.0f));
  return mx::multiply(
      mx::multiply(mx::multiply(gate, mx::array(0.5f)), one), up);
}

std::vector<float> rope_frequencies(const RopeOptions& o, int form) {
  const std::vector<float>& factors = form > 0 && !o.long_factors.empty()
                                          ? o.long_factors
                                          : o.frequency_factors;
  std::vector<float> out(static_cast<size_t>(o.dims / 2));
  for (size_t i = 0; i < out.size(); ++i) {
    const float exponent =
        static_cast<float>(2 * i) / static_cast<float>(o.dims);
    out[i] = 1.0f / std::pow(o.base, exponent);
    if (!factors.empty()) {
      out[i] /= factors[i];
    }
    out[i] *= o.scale;
  }
  return out;
}

mx::array rope_reference(
    const mx::array& x,
    const mx::array& positions,
    const RopeOptions& o,
    int form) {
  if (o.dims == 0) {
    return x;
  }
  const std::vector<float> frequencies = rope_frequencies(o, form);
  const int pairs = o.dims / 2;
  const int rows = x.shape(0);
  const int heads = x.shape(1);
  const mx::array angles = mx::multiply(
      mx::reshape(mx::astype(positions, mx::float32), {rows, 1, 1}),
      mx::array(frequencies.data(), {1, 1, pairs}));
  const mx::array size(o.amplitude);
  const mx::array cos = mx::multiply(mx::cos(angles), size);
  const mx::array sin = mx::multiply(mx::sin(angles), size);
  const mx::array turned = mx::slice(x, {0, 0, 0}, {rows, heads, o.dims});
  // [T, H, pairs, 2] or [T, H, 2, pairs]: `axis` tells a pair's halves apart.
  const int axis = o.interleaved ? 3 : 2;
  const mx::array split = mx::reshape(
      turned,
      o.interleaved ? mx::Shape{rows, heads, pairs, 2}
                    : mx::Shape{rows, heads, 2, pairs});
  const mx::array a = mx::take(split, 0, axis);
  const mx::array b = mx::take(split, 1, axis);
  const mx::array first =
      mx::subtract(mx::multiply(a, cos), mx::multiply(b, sin));
  const mx::array second = mx::add(mx::multiply(a, sin), mx::multiply(b, cos));
  const mx::array out =
      mx::reshape(mx::stack({first, second}, axis), {rows, heads, o.dims});
  if (o.dims == x.shape(2)) {
    return out;
  }
  const mx::array rest =
      mx::slice(x, {0, 0, o.dims}, {rows, heads, x.shape(2)});
  return mx::concatenate({out, rest}, 2);
}

}  // namespace rapid
