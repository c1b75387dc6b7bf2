#include "kernels/gated_delta_gpu.h"

#include <cmath>
#include <unordered_map>

#include "kernels/gpu_kernel.h"

namespace rapid {

namespace {

bool known(const mx::array& x, const GatedDeltaShape& s) {
  const bool values = s.value_dim == 32 || s.value_dim == 64 ||
                      s.value_dim == 128 || s.value_dim == 256;
  return gpu_kernels_active() && x.dtype() == mx::float32 && values &&
         s.key_dim % 32 == 0 && s.key_dim > 0 && s.key_dim <= 256 &&
         s.kernel >= 2 && s.kernel <= 8;
}

// Where the parts of a row lie, in the order that the texts read.
mx::array places(const GatedDelta& layer) {
  const GatedDeltaLayout& at = layer.layout;
  std::vector<int32_t> all;
  for (const auto* part :
       {&at.q, &at.k, &at.v, &at.z, &at.b, &at.a, &at.key_head}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  std::vector<bool> taken(static_cast<size_t>(layer.shape.key_heads), false);
  for (const int head : at.key_head) {
    const auto key = static_cast<size_t>(head);
    all.push_back(taken[key] ? 0 : 1);
    taken[key] = true;
  }
  mx::array out(all.data(), {static_cast<int>(all.size())}, mx::int32);
  out.eval();
  return out;
}

mx::array places_of(const GatedDeltaPtr& layer) {
  struct Known {
    std::weak_ptr<const GatedDelta> layer;
    mx::array places;
  };
  thread_local std::unordered_map<const GatedDelta*, Known> known;
  const auto found = known.find(layer.get());
  if (found != known.end() && found->second.layer.lock() == layer) {
    return found->second.places;
  }
  std::erase_if(
      known, [](const auto& one) { return one.second.layer.expired(); });
  Known made{layer, places(*layer)};
  known.insert_or_assign(layer.get(), made);
  return made.places;
}

Defines defines_of(const GatedDeltaShape& s) {
  return {{"KEY", s.key_dim}, {"VALUE", s.value_dim}, {"TAPS", s.kernel}};
}

float q_scale(const GatedDeltaShape& s) {
  return 1.0f / std::sqrt(static_cast<float>(s.key_dim));
}

struct Part {
  mx::array out;
  std::vector<mx::array> next;
};

Part one_token(
    const mx::array& x,
    const GatedDelta& layer,
    const mx::array& at,
    const FoldRows& rows) {
  const GatedDeltaShape& s = layer.shape;
  auto made = gpu_kernel("gated_delta_step", defines_of(s))
                  .run(
                      {x,
                       at,
                       layer.conv,
                       layer.decay,
                       layer.dt_bias,
                       layer.norm.weight,
                       rows.arrays[0],
                       rows.arrays[1]},
                      {mx::Shape{1, s.values()},
                       rows.arrays[0].shape(),
                       rows.arrays[1].shape()},
                      {mx::float32, mx::float32, mx::float32},
                      {s.key_heads,
                       s.value_heads,
                       rows.first_row,
                       x.shape(1),
                       layer.norm.eps,
                       q_scale(s)},
                      {.x = s.value_heads});
  return {made[0], {made[1], made[2]}};
}

Part many_tokens(
    const mx::array& x,
    const GatedDelta& layer,
    const mx::array& at,
    const FoldRows& rows) {
  const GatedDeltaShape& s = layer.shape;
  const int n = rows.rows;
  const std::vector<mx::Dtype> floats(6, mx::float32);
  const auto in =
      gpu_kernel("gated_delta_inputs", defines_of(s))
          .run(
              {x, at, layer.conv, layer.decay, layer.dt_bias, rows.arrays[0]},
              {mx::Shape{n, s.keys()},
               mx::Shape{n, s.keys()},
               mx::Shape{n, s.values()},
               mx::Shape{n, s.value_heads, 2},
               mx::Shape{n, s.key_heads},
               rows.arrays[0].shape()},
              floats,
              {s.key_heads,
               s.value_heads,
               rows.first_row,
               x.shape(1),
               n,
               q_scale(s)},
              {.x = n, .y = s.key_heads + s.value_heads});
  const auto raw =
      gpu_kernel("gated_delta_scan", defines_of(s))
          .run(
              {in[0], in[1], in[2], in[3], in[4], at, rows.arrays[1]},
              {mx::Shape{n, s.values()}, rows.arrays[1].shape()},
              {mx::float32, mx::float32},
              {s.key_heads, s.value_heads, n},
              {.x = s.value_heads, .y = s.value_dim / 32});
  const auto out = gpu_kernel("gated_delta_outputs", defines_of(s))
                       .run(
                           {raw[0], x, at, layer.norm.weight},
                           {mx::Shape{n, s.values()}},
                           {mx::float32},
                           {s.key_heads,
                            s.value_heads,
                            rows.first_row,
                            x.shape(1),
                            n,
                            layer.norm.eps},
                           {.x = (n * s.value_heads + 3) / 4});
  return {out[0], {in[5], raw[1]}};
}

}  // namespace

std::optional<Folded> gated_delta_gpu(
    const mx::array& x,
    const GatedDeltaPtr& layer,
    std::span<const FoldRows> batch) {
  if (!known(x, layer->shape)) {
    return std::nullopt;
  }
  const mx::array at = places_of(layer);
  std::vector<mx::array> outs;
  std::vector<std::vector<mx::array>> next;
  for (const FoldRows& rows : batch) {
    Part part = rows.rows == 1 ? one_token(x, *layer, at, rows)
                               : many_tokens(x, *layer, at, rows);
    outs.push_back(std::move(part.out));
    next.push_back(std::move(part.next));
  }
  return Folded{
      outs.size() == 1 ? outs[0] : mx::concatenate(std::move(outs), 0),
      std::move(next)};
}

}  // namespace rapid
