#include "kernels/gated_mlp.h"

#include "kernels/gated_mlp_cpu.h"
#include "kernels/gpu_ops.h"
#include "kernels/gpu_quantised.h"

namespace rapid {

mx::array gated_mlp_reference(
    const mx::array& x,
    const GatedMlp& mlp,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted) {
  const mx::array in = mlp.before ? norm_rows(x, *mlp.before) : x;
  const mx::array inner = gated_reference(
      linear_reference(in, mlp.gate, false, adapted),
      linear_reference(in, mlp.up, false, adapted),
      mlp.activation);
  mx::array y = linear_reference(inner, mlp.down, false, adapted);
  if (mlp.after) {
    y = norm_rows(y, *mlp.after);
  }
  return residual ? mx::add(*residual, y) : y;
}

mx::array gated_mlp(
    const mx::array& x,
    const GatedMlpPtr& mlp,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted) {
  if (cpu_kernels_active()) {
    return gated_mlp_cpu(x, mlp, residual, adapted);
  }
  if (adapted.empty()) {
    if (auto y = gated_mlp_gpu(x, *mlp, residual)) {
      return *y;
    }
  }
  return gated_mlp_reference(x, *mlp, residual, adapted);
}

}  // namespace rapid
