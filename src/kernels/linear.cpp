#include "kernels/linear.h"

#include "kernels/linear_cpu.h"

namespace rapid {

mx::array linear_reference(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias) {
  const mx::array w = weight_to_float(*weight);
  const mx::array y = mx::matmul(x, mx::transpose(w));
  return bias ? mx::add(y, *bias) : y;
}

mx::array embedding_reference(const mx::array& ids, const WeightPtr& table) {
  return mx::take(weight_to_float(*table), ids, 0);
}

mx::array linear(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias) {
  return cpu_kernels_active() ? linear_cpu(x, weight, bias)
                              : linear_reference(x, weight, bias);
}

mx::array embedding(const mx::array& ids, const WeightPtr& table) {
  return cpu_kernels_active() ? embedding_cpu(ids, table)
                              : embedding_reference(ids, table);
}

}  // namespace rapid
