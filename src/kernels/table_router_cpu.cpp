#include "kernels/table_router_cpu.h"

#include <algorithm>

#include "kernels/cpu_primitive.h"
#include "kernels/scratch.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

class RapidTableWeights final : public CpuPrimitive {
 public:
  explicit RapidTableWeights(TableRouterPtr router)
      : router_(std::move(router)) {}
  const char* name() const override { return "RapidTableWeights"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* logits = rows<float>(inputs[0]);
    const auto* ids = rows<int32_t>(inputs[1]);
    float* to = out.data<float>();
    return [=, router = router_, count = out.shape(0), width = out.shape(1)] {
      const auto* table = router->table.data<int32_t>();
      const int k = router->table.shape(1);
      ThreadPool::global().run(count, 16, [&](int begin, int end) {
        Scratch scratch;
        auto* scores = scratch.take<float>(static_cast<size_t>(width));
        for (auto row = static_cast<size_t>(begin);
             row < static_cast<size_t>(end);
             ++row) {
          std::copy_n(logits + row * width, width, scores);
          router_scores(scores, width, router->score);
          const int32_t* experts = table + static_cast<size_t>(ids[row]) * k;
          float sum = 0;
          for (int i = 0; i < k; ++i) {
            sum += scores[experts[i]];
          }
          float* weights = to + row * width;
          std::fill_n(weights, width, 0.0f);
          for (int i = 0; i < k; ++i) {
            weights[experts[i]] +=
                scores[experts[i]] / (sum + kTinySum) * router->scale;
          }
        }
      });
    };
  }

 private:
  TableRouterPtr router_;
};

}  // namespace

mx::array table_weights_cpu(
    const mx::array& logits,
    const mx::array& ids,
    const TableRouterPtr& router) {
  return cpu_node(
      logits.shape(),
      std::make_shared<RapidTableWeights>(router),
      {as_type(logits, mx::float32), as_type(ids, mx::int32)});
}

}  // namespace rapid
