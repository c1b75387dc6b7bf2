#include "kernels/gated_mlp.h"

#include "kernels/gated_mlp_cpu.h"
#include "kernels/gpu_ops.h"

namespace rapid {

mx::array gated_mlp_reference(
    const mx::array& x,
    const GatedMlp& mlp,
    const std::optional<mx::array>& residual) {
  const mx::array in = mlp.before ? norm_rows(x, *mlp.before) : x;
  const mx::array inner = gated_reference(
      linear_reference(in, mlp.gate),
      linear_reference(in, mlp.up),
      mlp.activation);
  mx::array y = linear_reference(inner, mlp.down);
  if (mlp.after) {
    y = norm_rows(y, *mlp.after);
  }
  return residual ? mx::add(*residual, y) : y;
}

mx::array gated_mlp(
    const mx::array& x,
    const GatedMlpPtr& mlp,
    const std::optional<mx::array>& residual) {
  return cpu_kernels_active() ? gated_mlp_cpu(x, mlp, residual)
                              : gated_mlp_reference(x, *mlp, residual);
}

}  // namespace rapid
