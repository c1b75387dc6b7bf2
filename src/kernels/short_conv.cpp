#include "kernels/short_conv.h"

namespace rapid {

ConvRows short_conv_reference(
    const mx::array& x,
    const mx::array& before,
    const mx::array& weight,
    const std::optional<mx::array>& bias,
    bool silu) {
  const int n = x.shape(0);
  const int channels = x.shape(1);
  const int kernel = weight.shape(0);
  const mx::array all = mx::concatenate({before, x}, 0);
  mx::array y = bias ? *bias : mx::array(0.0f);
  for (int j = 0; j < kernel; ++j) {
    const mx::array tap = mx::slice(all, {j, 0}, {j + n, channels});
    y = mx::add(y, mx::multiply(tap, mx::take(weight, j, 0)));
  }
  if (silu) {
    y = mx::multiply(y, mx::sigmoid(y));
  }
  return {
      y, mx::contiguous(mx::slice(all, {n, 0}, {n + kernel - 1, channels}))};
}

}  // namespace rapid
