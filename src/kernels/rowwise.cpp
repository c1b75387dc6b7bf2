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

}  // namespace rapid
