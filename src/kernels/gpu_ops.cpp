#include "kernels/gpu_ops.h"

#include <mlx/fast.h>

#include <algorithm>

namespace rapid {

bool on_gpu() {
  return mx::default_device().type == mx::Device::gpu;
}

mx::array fast_rms_norm(const mx::array& x, const RmsNorm& norm) {
  return mx::fast::rms_norm(x, norm.weight, norm.eps);
}

mx::array fast_rope(
    const mx::array& x,
    const mx::array& positions,
    const RopeOptions& o,
    int form) {
  if (o.dims == 0) {
    return x;
  }
  // MLX wants the reciprocals of our frequencies, and a sequence for each
  // offset: every row is a sequence of length one.
  std::vector<float> periods = rope_frequencies(o, form);
  for (float& f : periods) {
    f = 1.0f / f;
  }
  const mx::array freqs(periods.data(), {o.dims / 2});
  const mx::array out = mx::fast::rope(
      mx::expand_dims(x, 2),
      o.dims,
      o.interleaved,
      std::nullopt,
      1.0f,
      positions,
      freqs);
  const mx::array turned = mx::squeeze(out, 2);
  if (o.amplitude == 1.0f) {
    return turned;
  }
  const int width = x.shape(-1);
  std::vector<float> size(static_cast<size_t>(width), 1.0f);
  std::fill_n(size.begin(), o.dims, o.amplitude);
  return mx::multiply(turned, mx::array(size.data(), {width}));
}

mx::array fast_attention(
    const mx::array& q,
    const mx::array& keys,
    const mx::array& values,
    const mx::array& seen,
    float scale,
    const std::optional<mx::array>& sinks) {
  const mx::array out = mx::fast::scaled_dot_product_attention(
      mx::expand_dims(mx::transpose(q, {1, 0, 2}), 0),
      mx::expand_dims(mx::swapaxes(keys, 1, 2), 0),
      mx::expand_dims(values, 0),
      scale,
      "",
      seen,
      sinks);
  return mx::transpose(mx::squeeze(out, 0), {1, 0, 2});
}

mx::array norm_rows(const mx::array& x, const RmsNorm& norm) {
  return on_gpu() ? fast_rms_norm(x, norm) : rms_norm_reference(x, norm);
}

mx::array turn_heads(
    const mx::array& x,
    const mx::array& positions,
    const RopeOptions& o,
    int form) {
  return on_gpu() ? fast_rope(x, positions, o, form)
                  : rope_reference(x, positions, o, form);
}

}  // namespace rapid
