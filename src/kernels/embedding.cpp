#include "kernels/embedding.h"

#include "kernels/embedding_cpu.h"
#include "tensor/gpu_layout.h"

namespace rapid {

mx::array embedding_reference(
    const mx::array& ids, const WeightPtr& table, float scale) {
  const mx::array rows = mx::default_device() == mx::Device::cpu
                             ? mx::take(weight_to_float(*table), ids, 0)
                             : gpu_rows(gpu_layout(*table), ids);
  return scale == 1.0f ? rows : mx::multiply(rows, mx::array(scale));
}

mx::array embedding(const mx::array& ids, const WeightPtr& table, float scale) {
  return cpu_kernels_active() ? embedding_cpu(ids, table, scale)
                              : embedding_reference(ids, table, scale);
}

}  // namespace rapid
