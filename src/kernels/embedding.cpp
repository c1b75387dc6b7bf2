#include "kernels/embedding.h"

#include "kernels/embedding_cpu.h"
#include "kernels/embedding_gpu.h"
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
  if (cpu_kernels_active()) {
    return embedding_cpu(ids, table, scale);
  }
  if (auto rows = embedding_gpu(ids, table, scale)) {
    return *rows;
  }
  return embedding_reference(ids, table, scale);
}

}  // namespace rapid
