#include "kernels/embedding_cpu.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu_matrix.h"
#include "kernels/cpu_primitive.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

class RapidEmbedding final : public CpuPrimitive {
 public:
  RapidEmbedding(WeightPtr table, float scale)
      : table_(std::move(table)), scale_(scale) {}
  const char* name() const override { return "RapidEmbedding"; }
  std::string_view op() const override { return "embedding"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* ids = rows<int32_t>(inputs[0]);
    const auto count = static_cast<int>(inputs[0].size());
    float* to = out.data<float>();
    return [ids, count, to, table = table_, scale = scale_] {
      const CpuMatrix matrix(*table);
      const int width = matrix.cols();
      ThreadPool::global().run(count, 16, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          float* row = to + static_cast<size_t>(i) * width;
          if (ids[i] < 0 || ids[i] >= matrix.rows()) {
            std::fill_n(row, width, std::numeric_limits<float>::quiet_NaN());
            continue;
          }
          matrix.read_row(ids[i], row);
          for (int c = 0; scale != 1.0f && c < width; ++c) {
            row[c] *= scale;
          }
        }
      });
    };
  }

 private:
  WeightPtr table_;
  float scale_;
};

}  // namespace

mx::array embedding_cpu(
    const mx::array& ids, const WeightPtr& table, float scale) {
  mx::Shape shape = ids.shape();
  shape.push_back(static_cast<int>(table->cols));
  return cpu_node(
      std::move(shape),
      std::make_shared<RapidEmbedding>(table, scale),
      {as_type(ids, mx::int32)});
}

}  // namespace rapid
