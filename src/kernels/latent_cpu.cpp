#include "kernels/latent_cpu.h"

#include <algorithm>
#include <string>

#include "kernels/cpu_primitive.h"
#include "kernels/moe_call_cpu.h"
#include "simd/simd.h"

namespace rapid {

namespace {

// Rows of memory, `stride` floats apart.
struct Rows {
  const float* data = nullptr;
  int64_t stride = 0;

  const float* row(int m) const { return data + m * stride; }
};

// out[m][h * out_step ..] = W_h x[m][h * x_step ..] for all rows and heads.
void multiply_heads(
    const ExpertBank& bank,
    int heads,
    int count,
    const Rows& x,
    int x_step,
    float* out,
    int64_t out_stride,
    int out_step) {
  const int tiles = (count + kTileRows - 1) / kTileRows;
  ThreadPool::global().run(heads * tiles, 1, [&](int begin, int end) {
    for (int item = begin; item < end; ++item) {
      const int head = item / tiles;
      const int first = item % tiles * kTileRows;
      const int rows = std::min(kTileRows, count - first);
      const ExpertMatrix w = matrix_of(bank, head);
      Scratch scratch;
      const bool packed = w.all.packed();
      RowBuffer in(scratch, rows, w.all.cols(), !packed, packed);
      for (int m = 0; m < rows; ++m) {
        in.set(m, x.row(first + m) + int64_t{head} * x_step, nullptr);
      }
      w.multiply(
          in.view(),
          0,
          w.panels(),
          out + first * out_stride + int64_t{head} * out_step,
          out_stride);
    }
  });
}

void run_qkv(
    const LatentHeads& h, const Rows& q, const Rows& a, int count, float* out) {
  const int dims = h.nope + h.rope;
  const int64_t width = int64_t{h.heads + 1} * h.width();
  multiply_heads(
      h.absorb, h.heads, count, q, dims, out + h.rope, width, h.width());
  ThreadPool::global().run(count, 8, [&](int begin, int end) {
    for (int m = begin; m < end; ++m) {
      float* to = out + m * width;
      for (int head = 0; head < h.heads; ++head, to += h.width()) {
        std::copy_n(q.row(m) + int64_t{head} * dims + h.nope, h.rope, to);
      }
      const float* latent = a.row(m) + h.first;
      std::copy_n(latent + h.rank, h.rope, to);
      kernel_table().rms_norm(
          latent, h.norm.weight.data<float>(), h.norm.eps, h.rank, to + h.rope);
    }
  });
}

class RapidLatentQkv final : public CpuPrimitive {
 public:
  explicit RapidLatentQkv(LatentHeadsPtr heads) : heads_(std::move(heads)) {}
  const char* name() const override { return "RapidLatentQkv"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const Rows q{rows<float>(inputs[0]), inputs[0].shape(1)};
    const Rows a{rows<float>(inputs[1]), inputs[1].shape(1)};
    float* to = out.data<float>();
    return [h = heads_, q, a, count = out.shape(0), to] {
      run_qkv(*h, q, a, count, to);
    };
  }

 private:
  LatentHeadsPtr heads_;
};

class RapidLatentValues final : public CpuPrimitive {
 public:
  explicit RapidLatentValues(LatentHeadsPtr heads) : heads_(std::move(heads)) {}
  const char* name() const override { return "RapidLatentValues"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    const Rows x{rows<float>(inputs[0]) + heads_->rope, inputs[0].shape(1)};
    float* to = out.data<float>();
    return [h = heads_, x, count = out.shape(0), to] {
      multiply_heads(
          h->release,
          h->heads,
          count,
          x,
          h->width(),
          to,
          int64_t{h->heads} * h->values,
          h->values);
    };
  }

 private:
  LatentHeadsPtr heads_;
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("latent attention: ") + what);
  }
}

void check_bank(const ExpertBank& bank, int heads, int rows, int cols) {
  const bool apart = bank.stride == 0;
  check(
      bank.rows == rows &&
          bank.weights.size() == (apart ? static_cast<size_t>(heads) : 1),
      "the number of matrices");
  for (const WeightPtr& weight : bank.weights) {
    check(
        weight->cols == cols &&
            (apart ? weight->rows == rows
                   : stack_fits(bank.first, bank.stride) &&
                         weight->rows >= int64_t{heads} * bank.stride),
        "a head's matrix");
  }
}

}  // namespace

mx::array latent_qkv_cpu(
    const mx::array& q, const mx::array& a, const LatentHeadsPtr& heads) {
  const LatentHeads& h = *heads;
  check(
      q.ndim() == 2 && a.ndim() == 2 && q.shape(0) == a.shape(0) &&
          q.shape(1) >= h.heads * (h.nope + h.rope) &&
          a.shape(1) >= h.first + h.rank + h.rope &&
          static_cast<int>(h.norm.weight.size()) == h.rank,
      "the rows or the norm");
  check_bank(h.absorb, h.heads, h.rank, h.nope);
  return cpu_node(
      {q.shape(0), (h.heads + 1) * h.width()},
      std::make_shared<RapidLatentQkv>(heads),
      {as_type(q, mx::float32), as_type(a, mx::float32)});
}

mx::array latent_values_cpu(const mx::array& x, const LatentHeadsPtr& heads) {
  const LatentHeads& h = *heads;
  check(x.ndim() == 2 && x.shape(1) == h.heads * h.width(), "the rows");
  check_bank(h.release, h.heads, h.values, h.rank);
  return cpu_node(
      {x.shape(0), h.heads * h.values},
      std::make_shared<RapidLatentValues>(heads),
      {as_type(x, mx::float32)});
}

}  // namespace rapid
