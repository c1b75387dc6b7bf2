#include "kernels/gated_delta.h"

#include <cmath>

#include "kernels/gated_delta_cpu.h"
#include "kernels/gated_delta_gpu.h"
#include "kernels/short_conv.h"

namespace rapid {

namespace {

std::vector<int> every(int count, int first, int step) {
  std::vector<int> out;
  for (int i = 0; i < count; ++i) {
    out.push_back(first + i * step);
  }
  return out;
}

// Columns [at[i], at[i] + dim) of each head, one after another [n, heads dim].
mx::array columns(const mx::array& x, const std::vector<int>& at, int dim) {
  std::vector<int32_t> index;
  for (const int first : at) {
    for (int i = 0; i < dim; ++i) {
      index.push_back(first + i);
    }
  }
  const auto count = static_cast<int>(index.size());
  return mx::take(x, mx::array(index.data(), {count}, mx::int32), 1);
}

mx::array unit(const mx::array& x) {
  const mx::array squares = mx::sum(mx::square(x), -1, true);
  return mx::multiply(x, mx::rsqrt(mx::add(squares, mx::array(1e-6f))));
}

mx::array heads(const mx::array& x, int first, int count, int dim) {
  const int n = x.shape(0);
  return mx::reshape(
      mx::slice(x, {0, first}, {n, first + count * dim}), {n, count, dim});
}

mx::array token(const mx::array& x, int t) {
  return mx::take(x, t, 0);
}

struct Part {
  mx::array out;
  std::vector<mx::array> next;
};

Part one_sequence(
    const mx::array& x,  // [n, width]
    const GatedDelta& layer,
    const std::vector<mx::array>& arrays) {
  const GatedDeltaShape& s = layer.shape;
  const GatedDeltaLayout& at = layer.layout;
  const int n = x.shape(0);
  const ConvRows conv = short_conv_reference(
      mx::concatenate(
          {columns(x, at.q, s.key_dim),
           columns(x, at.k, s.key_dim),
           columns(x, at.v, s.value_dim)},
          1),
      arrays[0],
      layer.conv,
      std::nullopt,
      true);
  const mx::array who(at.key_head.data(), {s.value_heads}, mx::int32);
  const mx::array q = mx::take(
      mx::multiply(
          unit(heads(conv.out, 0, s.key_heads, s.key_dim)),
          mx::array(1.0f / std::sqrt(static_cast<float>(s.key_dim)))),
      who,
      1);  // [n, Hv, Dk]
  const mx::array k =
      mx::take(unit(heads(conv.out, s.keys(), s.key_heads, s.key_dim)), who, 1);
  const mx::array v = heads(conv.out, 2 * s.keys(), s.value_heads, s.value_dim);
  const mx::array beta = mx::sigmoid(columns(x, at.b, 1));  // [n, Hv]
  const mx::array step = mx::logaddexp(
      mx::add(columns(x, at.a, 1), layer.dt_bias), mx::array(0.0f));
  const mx::array g = mx::exp(mx::multiply(layer.decay, step));
  mx::array state = arrays[1];  // [Hv, Dk, Dv]
  std::vector<mx::array> outs;
  for (int t = 0; t < n; ++t) {
    const mx::array key = mx::expand_dims(token(k, t), 2);  // [Hv, Dk, 1]
    state = mx::multiply(state, mx::expand_dims(token(g, t), {1, 2}));
    const mx::array seen = mx::sum(mx::multiply(state, key), 1);  // [Hv, Dv]
    const mx::array error = mx::multiply(
        mx::subtract(token(v, t), seen), mx::expand_dims(token(beta, t), 1));
    state = mx::add(state, mx::multiply(key, mx::expand_dims(error, 1)));
    const mx::array query = mx::expand_dims(token(q, t), 2);
    outs.push_back(mx::sum(mx::multiply(state, query), 1));
  }
  const mx::array z = mx::reshape(
      columns(x, at.z, s.value_dim), {n, s.value_heads, s.value_dim});
  const mx::array out = gated_reference(
      z, rms_norm_reference(mx::stack(outs, 0), layer.norm), Activation::silu);
  return {mx::reshape(out, {n, s.values()}), {conv.after, state}};
}

}  // namespace

GatedDeltaLayout GatedDeltaLayout::in_turn(const GatedDeltaShape& s) {
  GatedDeltaLayout out;
  int at = 0;
  const auto next = [&](int heads, int dim) {
    auto first = every(heads, at, dim);
    at += heads * dim;
    return first;
  };
  out.q = next(s.key_heads, s.key_dim);
  out.k = next(s.key_heads, s.key_dim);
  out.v = next(s.value_heads, s.value_dim);
  out.z = next(s.value_heads, s.value_dim);
  out.b = next(s.value_heads, 1);
  out.a = next(s.value_heads, 1);
  out.width = at;
  for (int i = 0; i < s.value_heads; ++i) {
    out.key_head.push_back(i / (s.value_heads / s.key_heads));
  }
  return out;
}

GatedDeltaLayout GatedDeltaLayout::by_key_head(const GatedDeltaShape& s) {
  GatedDeltaLayout out;
  const int group = s.value_heads / s.key_heads;
  const int wide = 2 * s.key_dim + 2 * group * s.value_dim;
  out.q = every(s.key_heads, 0, wide);
  out.k = every(s.key_heads, s.key_dim, wide);
  for (int i = 0; i < s.value_heads; ++i) {
    const int key = i / group;
    const int mine = i % group;
    const int v = key * wide + 2 * s.key_dim + mine * s.value_dim;
    const int b = s.key_heads * wide + key * 2 * group + mine;
    out.v.push_back(v);
    out.z.push_back(v + group * s.value_dim);
    out.b.push_back(b);
    out.a.push_back(b + group);
    out.key_head.push_back(key);
  }
  out.width = s.key_heads * wide + 2 * s.value_heads;
  return out;
}

Folded gated_delta_reference(
    const mx::array& x,
    const GatedDelta& layer,
    std::span<const FoldRows> batch) {
  std::vector<mx::array> outs;
  std::vector<std::vector<mx::array>> next;
  for (const FoldRows& rows : batch) {
    const mx::array mine = mx::slice(
        x, {rows.first_row, 0}, {rows.first_row + rows.rows, x.shape(1)});
    Part part = one_sequence(mine, layer, rows.arrays);
    outs.push_back(std::move(part.out));
    next.push_back(std::move(part.next));
  }
  return {
      outs.size() == 1 ? outs[0] : mx::concatenate(std::move(outs), 0),
      std::move(next)};
}

Folded gated_delta(
    const mx::array& x,
    const GatedDeltaPtr& layer,
    std::span<const FoldRows> batch) {
  if (cpu_kernels_active()) {
    return gated_delta_cpu(x, layer, batch);
  }
  if (auto folded = gated_delta_gpu(x, layer, batch)) {
    return std::move(*folded);
  }
  return gated_delta_reference(x, *layer, batch);
}

}  // namespace rapid
