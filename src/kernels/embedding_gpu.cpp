#include "kernels/embedding_gpu.h"

#include <bit>

#include "kernels/gpu_few_rows.h"
#include "kernels/gpu_kernel.h"

namespace rapid {

std::optional<mx::array> embedding_gpu(
    const mx::array& ids, const WeightPtr& table, float scale) {
  constexpr int kColumns = 2048;  // of a group
  constexpr int kMostRows = 65535;
  if (!cuda_kernels_active() || ids.ndim() != 1 || ids.dtype() != mx::int32 ||
      ids.size() == 0 || ids.shape(0) > kMostRows) {
    return std::nullopt;
  }
  const GpuLayout& layout = gpu_layout(*table);
  if (!read_by_kernels(layout)) {
    return std::nullopt;
  }
  const int rows = ids.shape(0);
  const auto cols = static_cast<int>(table->cols);
  const auto group = static_cast<unsigned>(layout.scheme->group_size);
  return gpu_kernel(
             "embedding_rows",
             {{"BITS", layout.scheme->bits},
              {"SCALES", scales_code(layout.scales->dtype())}})
      .run(
          {ids, layout.data, *layout.scales, *layout.biases},
          {mx::Shape{rows, cols}},
          {mx::float32},
          {cols, std::countr_zero(group), scale},
          {.x = (cols + kColumns - 1) / kColumns, .y = rows})[0];
}

}  // namespace rapid
