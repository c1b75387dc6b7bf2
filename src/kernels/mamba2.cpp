#include "kernels/mamba2.h"

#include "kernels/mamba2_cpu.h"
#include "kernels/mamba2_gpu.h"
#include "kernels/short_conv.h"

namespace rapid {

namespace {

mx::array columns(const mx::array& x, int first, int count) {
  return mx::slice(x, {0, first}, {x.shape(0), first + count});
}

// [n, groups N] -> [n, H, N], a group's for each of its heads.
mx::array by_head(const mx::array& x, const Mamba2Shape& s) {
  return mx::repeat(
      mx::reshape(x, {x.shape(0), s.groups, s.state_dim}),
      s.heads / s.groups,
      1);
}

struct Part {
  mx::array out;
  std::vector<mx::array> next;
};

Part one_sequence(
    const mx::array& rows,  // [n, width]
    const Mamba2& layer,
    const std::vector<mx::array>& arrays) {
  const Mamba2Shape& s = layer.shape;
  const int n = rows.shape(0);
  const int inner = s.inner();
  const int groups = s.groups * s.state_dim;
  const ConvRows conv = short_conv_reference(
      columns(rows, inner, s.channels()),
      arrays[0],
      layer.conv,
      layer.conv_bias,
      true);
  const mx::array x =
      mx::reshape(columns(conv.out, 0, inner), {n, s.heads, s.head_dim});
  const mx::array b = by_head(columns(conv.out, inner, groups), s);
  const mx::array c = by_head(columns(conv.out, inner + groups, groups), s);
  const mx::array raw = columns(rows, inner + s.channels(), s.heads);
  const mx::array dt = mx::clip(
      mx::logaddexp(mx::add(raw, layer.dt_bias), mx::array(0.0f)),
      mx::array(layer.dt_min),
      mx::array(layer.dt_max));  // [n, H]
  const mx::array a = mx::exp(mx::multiply(layer.decay, dt));
  const mx::array u = mx::multiply(x, mx::expand_dims(dt, 2));
  mx::array state = arrays[1];  // [H, N, P]
  std::vector<mx::array> outs;
  for (int t = 0; t < n; ++t) {
    const auto at = [&](const mx::array& all) { return mx::take(all, t, 0); };
    state = mx::add(
        mx::multiply(state, mx::expand_dims(at(a), {1, 2})),
        mx::multiply(mx::expand_dims(at(b), 2), mx::expand_dims(at(u), 1)));
    outs.push_back(mx::sum(mx::multiply(state, mx::expand_dims(at(c), 2)), 1));
  }
  const mx::array y = mx::add(
      mx::stack(outs, 0), mx::multiply(x, mx::expand_dims(layer.skip, 1)));
  const mx::array gated = gated_reference(
      columns(rows, 0, inner), mx::reshape(y, {n, inner}), Activation::silu);
  const mx::array parts = mx::reshape(gated, {n, s.groups, inner / s.groups});
  const RmsNorm norm{
      mx::reshape(layer.norm.weight, {s.groups, inner / s.groups}),
      layer.norm.eps};
  return {
      mx::reshape(rms_norm_reference(parts, norm), {n, inner}),
      {conv.after, state}};
}

}  // namespace

Folded mamba2_reference(
    const mx::array& x, const Mamba2& layer, std::span<const FoldRows> batch) {
  std::vector<mx::array> outs;
  std::vector<std::vector<mx::array>> next;
  for (const FoldRows& rows : batch) {
    Part part = one_sequence(
        mx::slice(
            x, {rows.first_row, 0}, {rows.first_row + rows.rows, x.shape(1)}),
        layer,
        rows.arrays);
    outs.push_back(std::move(part.out));
    next.push_back(std::move(part.next));
  }
  return {
      outs.size() == 1 ? outs[0] : mx::concatenate(std::move(outs), 0),
      std::move(next)};
}

Folded mamba2(
    const mx::array& x,
    const Mamba2Ptr& layer,
    std::span<const FoldRows> batch) {
  if (cpu_kernels_active()) {
    return mamba2_cpu(x, layer, batch);
  }
  if (auto folded = mamba2_gpu(x, *layer, batch)) {
    return std::move(*folded);
  }
  return mamba2_reference(x, *layer, batch);
}

}  // namespace rapid
