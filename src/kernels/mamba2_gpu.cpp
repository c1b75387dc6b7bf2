#include "kernels/mamba2_gpu.h"

#include "kernels/gpu_kernel.h"

namespace rapid {

namespace {

bool known(const mx::array& x, const Mamba2Shape& s) {
  const bool head = s.head_dim == 32 || s.head_dim == 64 || s.head_dim == 128;
  return gpu_kernels_active() && x.dtype() == mx::float32 && head &&
         s.state_dim % 64 == 0 && s.state_dim > 0 && s.state_dim <= 256 &&
         s.kernel >= 2 && s.kernel <= 8;
}

struct Part {
  mx::array out;
  std::vector<mx::array> next;
};

Part one_sequence(
    const mx::array& x, const Mamba2& layer, const FoldRows& rows) {
  const Mamba2Shape& s = layer.shape;
  const int n = rows.rows;
  const std::vector<mx::Dtype> floats(3, mx::float32);
  const auto raw =
      gpu_kernel(
          "mamba2_scan",
          {{"HEAD", s.head_dim}, {"STATE", s.state_dim}, {"TAPS", s.kernel}})
          .run(
              {x,
               layer.conv,
               layer.conv_bias ? *layer.conv_bias : layer.conv,
               layer.decay,
               layer.dt_bias,
               layer.skip,
               rows.arrays[0],
               rows.arrays[1]},
              {mx::Shape{n, s.inner()},
               rows.arrays[0].shape(),
               rows.arrays[1].shape()},
              floats,
              {s.heads,
               s.groups,
               rows.first_row,
               x.shape(1),
               n,
               layer.conv_bias ? 1 : 0,
               layer.dt_min,
               layer.dt_max},
              {.x = s.heads});
  const auto out = gpu_kernel("mamba2_outputs", {})
                       .run(
                           {raw[0], x, layer.norm.weight},
                           {mx::Shape{n, s.inner()}},
                           {mx::float32},
                           {s.inner(),
                            s.inner() / s.groups,
                            rows.first_row,
                            x.shape(1),
                            layer.norm.eps},
                           {.x = n, .y = s.groups});
  return {out[0], {raw[1], raw[2]}};
}

Part one_sequence(
    const mx::array& x, const GatedConv& layer, const FoldRows& rows) {
  const int dim = layer.weight.shape(1);
  const auto made =
      gpu_kernel("gated_conv_rows", {{"TAPS", layer.weight.shape(0)}})
          .run(
              {x,
               layer.weight,
               layer.bias ? *layer.bias : layer.weight,
               rows.arrays[0]},
              {mx::Shape{rows.rows, dim}, rows.arrays[0].shape()},
              {mx::float32, mx::float32},
              {dim, rows.first_row, rows.rows, layer.bias ? 1 : 0},
              {.x = (dim + 127) / 128, .y = rows.rows});
  return {made[0], {made[1]}};
}

template <typename Layer>
Folded each_sequence(
    const mx::array& x, const Layer& layer, std::span<const FoldRows> batch) {
  std::vector<mx::array> outs;
  std::vector<std::vector<mx::array>> next;
  for (const FoldRows& rows : batch) {
    Part part = one_sequence(x, layer, rows);
    outs.push_back(std::move(part.out));
    next.push_back(std::move(part.next));
  }
  return {
      outs.size() == 1 ? outs[0] : mx::concatenate(std::move(outs), 0),
      std::move(next)};
}

}  // namespace

std::optional<Folded> mamba2_gpu(
    const mx::array& x, const Mamba2& layer, std::span<const FoldRows> batch) {
  return known(x, layer.shape) ? std::optional(each_sequence(x, layer, batch))
                               : std::nullopt;
}

std::optional<Folded> gated_conv_gpu(
    const mx::array& x,
    const GatedConv& layer,
    std::span<const FoldRows> batch) {
  const int taps = layer.weight.shape(0);
  const bool mine = gpu_kernels_active() && x.dtype() == mx::float32 &&
                    taps >= 2 && taps <= 8;
  return mine ? std::optional(each_sequence(x, layer, batch)) : std::nullopt;
}

}  // namespace rapid
