#include "kernels/linear.h"

#include "kernels/linear_cpu.h"
#include "tensor/gpu_layout.h"

namespace rapid {

namespace {

bool on_cpu() {
  return mx::default_device() == mx::Device::cpu;
}

}  // namespace

mx::array linear_reference(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias) {
  const mx::array y =
      on_cpu() ? mx::matmul(x, mx::transpose(weight_to_float(*weight)))
               : gpu_matmul(x, gpu_layout(*weight));
  return bias ? mx::add(y, *bias) : y;
}

mx::array embedding_reference(const mx::array& ids, const WeightPtr& table) {
  return on_cpu() ? mx::take(weight_to_float(*table), ids, 0)
                  : gpu_rows(gpu_layout(*table), ids);
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
