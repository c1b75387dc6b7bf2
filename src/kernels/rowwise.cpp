#include "kernels/rowwise.h"

#include "kernels/gpu_ops.h"
#include "kernels/rowwise_cpu.h"

namespace rapid {

mx::array grouped_norm_reference(
    const mx::array& x,
    const RmsNorm& norm,
    const std::optional<mx::array>& add) {
  const auto size = static_cast<int>(norm.weight.size());
  const mx::array groups = mx::reshape(x, {-1, size});
  const mx::array y = mx::reshape(norm_rows(groups, norm), x.shape());
  return add ? mx::add(y, *add) : y;
}

mx::array grouped_norm(
    const mx::array& x,
    const RmsNorm& norm,
    const std::optional<mx::array>& add) {
  return cpu_kernels_active() ? grouped_norm_cpu(x, norm, add)
                              : grouped_norm_reference(x, norm, add);
}

mx::array gated_columns_reference(
    const mx::array& gate,
    const mx::array& wide,
    int column,
    Activation activation) {
  const int width = gate.shape(1);
  const mx::array up =
      mx::slice(wide, {0, column}, {wide.shape(0), column + width});
  return gated_reference(gate, up, activation);
}

mx::array gated_columns(
    const mx::array& gate,
    const mx::array& wide,
    int column,
    Activation activation) {
  return cpu_kernels_active()
             ? gated_columns_cpu(gate, wide, column, activation)
             : gated_columns_reference(gate, wide, column, activation);
}

mx::array above_spread_reference(
    const mx::array& x, int count, float deviations) {
  const mx::array part = mx::slice(x, {0, 0}, {x.shape(0), count});
  const mx::array mean = mx::mean(part, -1, true);
  const mx::array spread =
      mx::sqrt(mx::mean(mx::square(mx::subtract(part, mean)), -1, true));
  const mx::array floor =
      mx::add(mean, mx::multiply(spread, mx::array(deviations)));
  return mx::maximum(mx::subtract(part, floor), mx::array(0.0f));
}

mx::array above_spread(const mx::array& x, int count, float deviations) {
  return cpu_kernels_active() ? above_spread_cpu(x, count, deviations)
                              : above_spread_reference(x, count, deviations);
}

mx::array as_long_as_reference(const mx::array& x, const mx::array& like) {
  const mx::array mine =
      mx::maximum(mx::mean(mx::square(x), -1, true), mx::array(1e-5f));
  const mx::array wanted = mx::mean(mx::square(like), -1, true);
  return mx::multiply(x, mx::divide(mx::sqrt(wanted), mx::sqrt(mine)));
}

mx::array as_long_as(const mx::array& x, const mx::array& like) {
  return cpu_kernels_active() ? as_long_as_cpu(x, like)
                              : as_long_as_reference(x, like);
}

}  // namespace rapid
