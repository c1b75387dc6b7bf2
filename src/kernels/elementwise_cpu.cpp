#include "kernels/elementwise_cpu.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/cpu_primitive.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

constexpr int kGrain = 16384;  // elements worth a thread

class RapidRmsNorm final : public CpuPrimitive {
 public:
  explicit RapidRmsNorm(float eps) : eps_(eps) {}
  const char* name() const override { return "RapidRmsNorm"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* x = rows<float>(inputs[0]);
    const auto* weight = rows<float>(inputs[1]);
    float* to = allocate(out);
    const auto n = static_cast<int>(inputs[1].size());
    const auto count = static_cast<int>(out.size() / inputs[1].size());
    encoder().dispatch([x, weight, to, n, count, eps = eps_] {
      const KernelTable& table = kernel_table();
      const int grain = std::max(1, kGrain / n);
      ThreadPool::global().run(count, grain, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          const auto at = static_cast<size_t>(i) * n;
          table.rms_norm(x + at, weight, eps, n, to + at);
        }
      });
    });
  }

 private:
  float eps_;
};

class RapidGated final : public CpuPrimitive {
 public:
  explicit RapidGated(Activation activation) : activation_(activation) {}
  const char* name() const override { return "RapidGated"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* gate = rows<float>(inputs[0]);
    const auto* up = rows<float>(inputs[1]);
    float* to = allocate(out);
    const auto count = static_cast<int64_t>(out.size());
    encoder().dispatch([gate, up, to, count, activation = activation_] {
      const KernelTable& table = kernel_table();
      const auto f = activation == Activation::silu ? table.silu : table.gelu;
      constexpr int64_t kPiece = 4096;
      const auto pieces = static_cast<int>((count + kPiece - 1) / kPiece);
      ThreadPool::global().run(pieces, 1, [&](int begin, int end) {
        const int64_t from = begin * kPiece;
        f(gate + from,
          up + from,
          std::min(end * kPiece, count) - from,
          to + from);
      });
    });
  }

 private:
  Activation activation_;
};

// Cosines and sines [T, 2, pairs] of the rows' angles. All layers of a step
// ask for the same few tables, one after another in the CPU queue's thread.
struct Turns {
  std::vector<float> frequencies;
  std::vector<int32_t> positions;
  std::vector<float> values;
};

const float* turns_of(
    const std::vector<float>& frequencies, const int32_t* at, int rows) {
  thread_local std::array<Turns, 4> kept;
  thread_local size_t next = 0;
  const auto count = static_cast<size_t>(rows);
  for (const Turns& t : kept) {
    if (t.positions.size() == count && t.frequencies == frequencies &&
        std::equal(t.positions.begin(), t.positions.end(), at)) {
      return t.values.data();
    }
  }
  Turns& t = kept[next++ % kept.size()];
  t.frequencies = frequencies;
  t.positions.assign(at, at + rows);
  t.values.resize(count * 2 * frequencies.size());
  const size_t pairs = frequencies.size();
  ThreadPool::global().run(rows, 32, [&](int begin, int end) {
    for (int row = begin; row < end; ++row) {
      float* to = t.values.data() + static_cast<size_t>(row) * 2 * pairs;
      for (size_t i = 0; i < pairs; ++i) {
        const float angle = static_cast<float>(at[row]) * frequencies[i];
        to[i] = std::cos(angle);
        to[pairs + i] = std::sin(angle);
      }
    }
  });
  return t.values.data();
}

void rotate(
    const float* x, const float* turn, int pairs, bool interleaved, float* to) {
  const int step = interleaved ? 2 : 1;
  const int apart = interleaved ? 1 : pairs;
  for (int i = 0; i < pairs; ++i) {
    const float a = x[i * step];
    const float b = x[i * step + apart];
    to[i * step] = a * turn[i] - b * turn[pairs + i];
    to[i * step + apart] = a * turn[pairs + i] + b * turn[i];
  }
}

class RapidRope final : public CpuPrimitive {
 public:
  RapidRope(std::vector<float> frequencies, bool interleaved)
      : frequencies_(std::move(frequencies)), interleaved_(interleaved) {}
  const char* name() const override { return "RapidRope"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    const auto* x = rows<float>(inputs[0]);
    const auto* at = rows<int32_t>(inputs[1]);
    float* to = allocate(out);
    const int count = out.shape(0);
    const int heads = out.shape(1);
    const int dim = out.shape(2);
    encoder().dispatch([=, f = frequencies_, interleaved = interleaved_] {
      const auto pairs = static_cast<int>(f.size());
      const float* turns = turns_of(f, at, count);
      const int grain = std::max(1, kGrain / (heads * dim));
      ThreadPool::global().run(count, grain, [&](int begin, int end) {
        for (int row = begin; row < end; ++row) {
          const float* turn = turns + static_cast<size_t>(row) * 2 * pairs;
          for (int h = 0; h < heads; ++h) {
            const size_t from = (static_cast<size_t>(row) * heads + h) * dim;
            rotate(x + from, turn, pairs, interleaved, to + from);
            std::copy_n(
                x + from + 2 * pairs, dim - 2 * pairs, to + from + 2 * pairs);
          }
        }
      });
    });
  }

 private:
  std::vector<float> frequencies_;
  bool interleaved_;
};

}  // namespace

mx::array rms_norm_cpu(const mx::array& x, const mx::array& weight, float eps) {
  if (x.ndim() == 0 || static_cast<size_t>(x.shape(-1)) != weight.size()) {
    throw std::invalid_argument("rms_norm: x and weight differ in width");
  }
  return mx::array(
      x.shape(),
      mx::float32,
      std::make_shared<RapidRmsNorm>(eps),
      {as_type(x, mx::float32), as_type(weight, mx::float32)});
}

mx::array gated_cpu(
    const mx::array& gate, const mx::array& up, Activation activation) {
  if (gate.shape() != up.shape()) {
    throw std::invalid_argument("gated: gate and up differ in shape");
  }
  return mx::array(
      gate.shape(),
      mx::float32,
      std::make_shared<RapidGated>(activation),
      {as_type(gate, mx::float32), as_type(up, mx::float32)});
}

mx::array rope_cpu(
    const mx::array& x, const mx::array& positions, const RopeOptions& o) {
  if (x.ndim() != 3 || positions.size() != static_cast<size_t>(x.shape(0)) ||
      o.dims > x.shape(2) || o.dims % 2 != 0) {
    throw std::invalid_argument("rope: x, positions and dims do not fit");
  }
  return mx::array(
      x.shape(),
      mx::float32,
      std::make_shared<RapidRope>(rope_frequencies(o), o.interleaved),
      {as_type(x, mx::float32), as_type(positions, mx::int32)});
}

}  // namespace rapid
