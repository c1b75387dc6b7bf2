#include "kernels/linear_cpu.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu_primitive.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

const uint8_t* bytes_of(const TensorView& view) {
  return reinterpret_cast<const uint8_t*>(view.bytes.data());
}

RowSource row_source(const Weight& w) {
  RowSource s;
  s.data = bytes_of(w.data);
  s.cols = static_cast<int>(w.cols);
  s.type = w.data.type;
  s.row_bytes = w.data.bytes.size() / static_cast<size_t>(w.rows);
  if (w.scheme) {
    s.packed = true;
    s.scheme = *w.scheme;
    s.scales = bytes_of(*w.scales);
    s.biases = w.biases ? bytes_of(*w.biases) : nullptr;
    s.scale_type = w.scales->type;
    s.scale_row_bytes = w.scales->bytes.size() / static_cast<size_t>(w.rows);
  }
  return s;
}

// Expanded weight rows of this thread.
float* panel_memory(size_t floats) {
  thread_local std::vector<float> memory;
  if (memory.size() < floats) {
    memory.resize(floats);
  }
  return memory.data();
}

struct Product {
  RowSource source;
  const float* x = nullptr;
  const float* bias = nullptr;
  float* out = nullptr;
  int rows = 0;  // of x and out
  int n = 0;
};

// Weight rows [begin, end): a panel of them that fits the caches is expanded,
// then met with all activation rows.
void run_panels(const Product& p, int begin, int end) {
  const KernelTable& table = kernel_table();
  const int k = p.source.cols;
  const int most = p.rows == 1 ? 8 : 32;
  const int panel = std::clamp(40000 / std::max(k, 1) / 4 * 4, 4, most);
  float* w = panel_memory(static_cast<size_t>(panel) * k);
  for (int at = begin; at < end; at += panel) {
    const int count = std::min(panel, end - at);
    for (int i = 0; i < count; ++i) {
      table.expand(p.source, at + i, w + static_cast<size_t>(i) * k);
    }
    table.dots(w, count, p.x, p.rows, k, p.out + at, p.n);
    if (!p.bias) {
      continue;
    }
    for (int r = 0; r < p.rows; ++r) {
      float* row = p.out + static_cast<size_t>(r) * p.n + at;
      for (int i = 0; i < count; ++i) {
        row[i] += p.bias[at + i];
      }
    }
  }
}

class RapidLinear final : public CpuPrimitive {
 public:
  explicit RapidLinear(WeightPtr weight) : weight_(std::move(weight)) {}
  const char* name() const override { return "RapidLinear"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    Product p;
    p.source = row_source(*weight_);
    p.x = rows<float>(inputs[0]);
    p.bias = inputs.size() > 1 ? rows<float>(inputs[1]) : nullptr;
    p.out = allocate(out);
    p.n = static_cast<int>(weight_->rows);
    p.rows = static_cast<int>(out.size() / static_cast<size_t>(p.n));
    encoder().dispatch([p, keep = weight_] {
      // A thread's share is worth waking it for, and four rows wide.
      const int64_t work = static_cast<int64_t>(p.source.cols) * p.rows;
      const int grain =
          static_cast<int>(std::clamp<int64_t>(65536 / work, 2, 4096));
      ThreadPool::global().run(
          (p.n + 3) / 4, (grain + 3) / 4, [&](int b, int e) {
            run_panels(p, b * 4, std::min(e * 4, p.n));
          });
    });
  }

 private:
  WeightPtr weight_;
};

class RapidEmbedding final : public CpuPrimitive {
 public:
  explicit RapidEmbedding(WeightPtr table) : table_(std::move(table)) {}
  const char* name() const override { return "RapidEmbedding"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* ids = rows<int32_t>(inputs[0]);
    const auto count = static_cast<int>(inputs[0].size());
    float* to = allocate(out);
    encoder().dispatch([ids, count, to, table = table_] {
      const RowSource source = row_source(*table);
      const KernelTable& kernels = kernel_table();
      ThreadPool::global().run(count, 16, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          float* row = to + static_cast<size_t>(i) * source.cols;
          if (ids[i] >= 0 && ids[i] < table->rows) {
            kernels.expand(source, ids[i], row);
          } else {
            std::fill_n(
                row, source.cols, std::numeric_limits<float>::quiet_NaN());
          }
        }
      });
    });
  }

 private:
  WeightPtr table_;
};

}  // namespace

mx::array linear_cpu(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias) {
  if (x.ndim() == 0 || x.shape(-1) != weight->cols ||
      (bias && static_cast<int64_t>(bias->size()) != weight->rows)) {
    throw std::invalid_argument(
        "linear: the shapes of x or bias do not fit " + weight->name);
  }
  mx::Shape shape = x.shape();
  shape.back() = static_cast<int>(weight->rows);
  std::vector<mx::array> inputs = {as_type(x, mx::float32)};
  if (bias) {
    inputs.push_back(as_type(*bias, mx::float32));
  }
  return mx::array(
      std::move(shape),
      mx::float32,
      std::make_shared<RapidLinear>(weight),
      std::move(inputs));
}

mx::array embedding_cpu(const mx::array& ids, const WeightPtr& table) {
  mx::Shape shape = ids.shape();
  shape.push_back(static_cast<int>(table->cols));
  return mx::array(
      std::move(shape),
      mx::float32,
      std::make_shared<RapidEmbedding>(table),
      {as_type(ids, mx::int32)});
}

}  // namespace rapid
