#include "kernels/gated_conv.h"

#include "kernels/backend.h"
#include "kernels/gated_conv_cpu.h"
#include "kernels/mamba2_gpu.h"
#include "kernels/short_conv.h"

namespace rapid {

Folded gated_conv_reference(
    const mx::array& x,
    const GatedConv& layer,
    std::span<const FoldRows> batch) {
  const int dim = layer.weight.shape(1);
  std::vector<mx::array> outs;
  std::vector<std::vector<mx::array>> next;
  for (const FoldRows& rows : batch) {
    const auto part = [&](int i) {
      return mx::slice(
          x,
          {rows.first_row, i * dim},
          {rows.first_row + rows.rows, (i + 1) * dim});
    };
    ConvRows conv = short_conv_reference(
        mx::multiply(part(0), part(2)),
        rows.arrays[0],
        layer.weight,
        layer.bias,
        false);
    outs.push_back(mx::multiply(part(1), conv.out));
    next.push_back({std::move(conv.after)});
  }
  return {
      outs.size() == 1 ? outs[0] : mx::concatenate(std::move(outs), 0),
      std::move(next)};
}

Folded gated_conv(
    const mx::array& x,
    const GatedConvPtr& layer,
    std::span<const FoldRows> batch) {
  if (cpu_kernels_active()) {
    return gated_conv_cpu(x, layer, batch);
  }
  if (auto folded = gated_conv_gpu(x, *layer, batch)) {
    return std::move(*folded);
  }
  return gated_conv_reference(x, *layer, batch);
}

}  // namespace rapid
