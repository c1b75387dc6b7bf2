#include "kernels/rowwise_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu_primitive.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

// Rows of one thread's piece: enough work to be worth waking it.
int row_grain(int width) {
  return std::max(1, 8192 / std::max(width, 1));
}

class RapidGroupedNorm final : public CpuPrimitive {
 public:
  explicit RapidGroupedNorm(RmsNorm norm) : norm_(std::move(norm)) {}
  const char* name() const override { return "RapidGroupedNorm"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* x = rows<float>(inputs[0]);
    const auto* add = inputs.size() > 1 ? rows<float>(inputs[1]) : nullptr;
    float* y = out.data<float>();
    const int width = out.shape(1);
    return [=, count = out.shape(0), norm = norm_] {
      const auto size = static_cast<int>(norm.weight.size());
      const auto* weight = norm.weight.data<float>();
      ThreadPool::global().run(
          count, row_grain(width), [&](int begin, int end) {
            const auto from = static_cast<size_t>(begin) * width;
            const auto to = static_cast<size_t>(end) * width;
            for (size_t at = from; at < to; at += size) {
              kernel_table().rms_norm(x + at, weight, norm.eps, size, y + at);
            }
            for (size_t at = from; add && at < to; ++at) {
              y[at] += add[at];
            }
          });
    };
  }

 private:
  RmsNorm norm_;
};

class RapidGatedColumns final : public CpuPrimitive {
 public:
  RapidGatedColumns(int column, Activation activation)
      : column_(column), activation_(activation) {}
  const char* name() const override { return "RapidGatedColumns"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* gate = rows<float>(inputs[0]);
    const auto* up = rows<float>(inputs[1]) + column_;
    float* y = out.data<float>();
    const int width = out.shape(1);
    const int stride = inputs[1].shape(1);
    const bool silu = activation_ == Activation::silu;
    return [=, count = out.shape(0)] {
      const auto act = silu ? kernel_table().silu : kernel_table().gelu;
      ThreadPool::global().run(
          count, row_grain(width), [&](int begin, int end) {
            for (int row = begin; row < end; ++row) {
              const auto at = static_cast<size_t>(row);
              act(gate + at * width, up + at * stride, width, y + at * width);
            }
          });
    };
  }

 private:
  int column_;
  Activation activation_;
};

// Sums in double: one order, and as exact as they need to be.
double mean_square(const float* x, int width, double mean) {
  double sum = 0;
  for (int i = 0; i < width; ++i) {
    const double off = x[i] - mean;
    sum += off * off;
  }
  return sum / width;
}

class RapidAboveSpread final : public CpuPrimitive {
 public:
  explicit RapidAboveSpread(float deviations) : deviations_(deviations) {}
  const char* name() const override { return "RapidAboveSpread"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* x = rows<float>(inputs[0]);
    float* y = out.data<float>();
    const int stride = inputs[0].shape(1);
    const int width = out.shape(1);
    return [=, deviations = deviations_, count = out.shape(0)] {
      ThreadPool::global().run(
          count, row_grain(width), [&](int begin, int end) {
            for (int row = begin; row < end; ++row) {
              const float* from = x + static_cast<size_t>(row) * stride;
              float* to = y + static_cast<size_t>(row) * width;
              double sum = 0;
              for (int i = 0; i < width; ++i) {
                sum += from[i];
              }
              const double mean = sum / width;
              const double spread = std::sqrt(mean_square(from, width, mean));
              const auto floor = static_cast<float>(mean + spread * deviations);
              for (int i = 0; i < width; ++i) {
                to[i] = std::max(from[i] - floor, 0.0f);
              }
            }
          });
    };
  }

 private:
  float deviations_;
};

class RapidAsLongAs final : public CpuPrimitive {
 public:
  const char* name() const override { return "RapidAsLongAs"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* x = rows<float>(inputs[0]);
    const auto* like = rows<float>(inputs[1]);
    float* y = out.data<float>();
    const int width = out.shape(1);
    return [=, count = out.shape(0)] {
      ThreadPool::global().run(
          count, row_grain(width), [&](int begin, int end) {
            for (auto at = static_cast<size_t>(begin) * width;
                 at < static_cast<size_t>(end) * width;
                 at += static_cast<size_t>(width)) {
              const double mine = std::max(mean_square(x + at, width, 0), 1e-5);
              const auto by = static_cast<float>(
                  std::sqrt(mean_square(like + at, width, 0) / mine));
              for (int i = 0; i < width; ++i) {
                y[at + i] = x[at + i] * by;
              }
            }
          });
    };
  }
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(what);
  }
}

}  // namespace

mx::array grouped_norm_cpu(
    const mx::array& x,
    const RmsNorm& norm,
    const std::optional<mx::array>& add) {
  check(
      x.ndim() == 2 && norm.weight.size() > 0 &&
          static_cast<size_t>(x.shape(1)) % norm.weight.size() == 0 &&
          (!add || add->shape() == x.shape()),
      "grouped_norm: the shapes do not fit");
  return node_over(x, add, x.shape(), std::make_shared<RapidGroupedNorm>(norm));
}

mx::array gated_columns_cpu(
    const mx::array& gate,
    const mx::array& wide,
    int column,
    Activation activation) {
  check(
      gate.ndim() == 2 && wide.ndim() == 2 && gate.shape(0) == wide.shape(0) &&
          column >= 0 && column + gate.shape(1) <= wide.shape(1),
      "gated_columns: the shapes do not fit");
  return cpu_node(
      gate.shape(),
      std::make_shared<RapidGatedColumns>(column, activation),
      {as_type(gate, mx::float32), as_type(wide, mx::float32)});
}

mx::array above_spread_cpu(const mx::array& x, int count, float deviations) {
  check(
      x.ndim() == 2 && count > 0 && count <= x.shape(1),
      "above_spread: the shapes do not fit");
  return cpu_node(
      {x.shape(0), count},
      std::make_shared<RapidAboveSpread>(deviations),
      {as_type(x, mx::float32)});
}

mx::array as_long_as_cpu(const mx::array& x, const mx::array& like) {
  check(
      x.ndim() == 2 && x.shape() == like.shape(),
      "as_long_as: the shapes do not fit");
  return cpu_node(
      x.shape(),
      std::make_shared<RapidAsLongAs>(),
      {as_type(x, mx::float32), as_type(like, mx::float32)});
}

}  // namespace rapid
