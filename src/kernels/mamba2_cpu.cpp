#include "kernels/mamba2_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/conv_taps_cpu.h"
#include "kernels/fold_cpu.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

struct Sequence {
  ConvInput conv;
  const float* state = nullptr;  // before; equals `next_state` in place
  float* next_state = nullptr;
  float* out = nullptr;  // of its first row
};

struct Call {
  Mamba2Ptr layer;
  std::vector<Sequence> sequences;
  float* out = nullptr;
  int rows = 0;

  const Mamba2Shape& shape() const { return layer->shape; }
  ConvWeights weights() const {
    return {
        layer->conv.data<float>(),
        layer->conv_bias ? layer->conv_bias->data<float>() : nullptr,
        shape().channels(),
        true};
  }
  // Channels of x, B and C; in a row they follow z.
  void take(const Sequence& s, int row, int channel, int n, float* to) const {
    convolve(s.conv, weights(), row, shape().inner() + channel, channel, n, to);
  }
};

constexpr int kBlockTokens = 32;

float softplus(float x) {
  return std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x)));
}

// A block of rows of one head: y * silu(z), not normed yet.
void run_block(
    const Call& call, const Sequence& s, int head, int row, int rows) {
  const Mamba2& layer = *call.layer;
  const Mamba2Shape& shape = call.shape();
  const int dim = shape.head_dim;
  const int n = shape.state_dim;
  const int group = head / (shape.heads / shape.groups);
  const auto h = static_cast<size_t>(head);
  Scratch scratch;
  auto* x = scratch.take<float>(static_cast<size_t>(dim));
  auto* u = scratch.take<float>(static_cast<size_t>(dim));
  auto* y = scratch.take<float>(static_cast<size_t>(dim));
  auto* b = scratch.take<float>(static_cast<size_t>(n));
  auto* c = scratch.take<float>(static_cast<size_t>(n));
  float* state = s.next_state + h * static_cast<size_t>(n) * dim;
  const float skip = layer.skip.data<float>()[h];
  for (int t = row; t < row + rows; ++t) {
    const float* in = s.conv.x + static_cast<size_t>(t) * s.conv.stride;
    call.take(s, t, head * dim, dim, x);
    call.take(s, t, shape.inner() + group * n, n, b);
    call.take(s, t, shape.inner() + (shape.groups + group) * n, n, c);
    const float raw = in[shape.inner() + shape.channels() + head];
    const float dt = std::clamp(
        softplus(raw + layer.dt_bias.data<float>()[h]),
        layer.dt_min,
        layer.dt_max);
    for (int i = 0; i < dim; ++i) {
      u[i] = x[i] * dt;
    }
    FoldToken token;
    token.key = b;
    token.query = c;
    token.value = u;
    token.out = y;
    token.dim = n;
    token.decay = std::exp(layer.decay.data<float>()[h] * dt);
    kernel_table().fold(token, state, dim, dim);
    for (int i = 0; i < dim; ++i) {
      y[i] += skip * x[i];
    }
    float* out = s.out + static_cast<size_t>(t) * shape.inner() +
                 static_cast<size_t>(head) * dim;
    kernel_table().silu(in + head * dim, y, dim, out);
  }
}

void run_head(const Call& call, const Sequence& s, int head) {
  const Mamba2Shape& shape = call.shape();
  const auto size = static_cast<size_t>(shape.state_dim) * shape.head_dim;
  if (s.state != s.next_state) {
    const size_t at = static_cast<size_t>(head) * size;
    std::copy_n(s.state + at, size, s.next_state + at);
  }
  for (int row = 0; row < s.conv.rows; row += kBlockTokens) {
    run_block(call, s, head, row, std::min(kBlockTokens, s.conv.rows - row));
  }
  const int inner = shape.inner();
  const int channel = head * shape.head_dim;
  keep_last(s.conv, inner + channel, channel, shape.head_dim);
  // The first head of a group keeps what they share.
  const int heads = shape.heads / shape.groups;
  if (head % heads == 0) {
    for (const int part : {0, shape.groups}) {
      const int at = inner + (part + head / heads) * shape.state_dim;
      keep_last(s.conv, inner + at, at, shape.state_dim);
    }
  }
}

void norm_rows(const Call& call) {
  const Mamba2Shape& shape = call.shape();
  const RmsNorm& norm = call.layer->norm;
  const int size = shape.inner() / shape.groups;
  ThreadPool::global().run(call.rows, 4, [&](int begin, int end) {
    for (int row = begin; row < end; ++row) {
      for (int g = 0; g < shape.groups; ++g) {
        float* y = call.out + static_cast<size_t>(row) * shape.inner() +
                   static_cast<size_t>(g) * size;
        kernel_table().rms_norm(
            y, norm.weight.data<float>() + g * size, norm.eps, size, y);
      }
    }
  });
}

void run(const Call& call) {
  const int heads = call.shape().heads;
  const int units = static_cast<int>(call.sequences.size()) * heads;
  ThreadPool::global().run(units, 1, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      run_head(call, call.sequences[static_cast<size_t>(i / heads)], i % heads);
    }
  });
  norm_rows(call);
}

class RapidMamba2 final : public CpuPrimitives {
 public:
  RapidMamba2(Mamba2Ptr layer, std::vector<FoldRows> batch)
      : layer_(std::move(layer)), batch_(std::move(batch)) {}
  const char* name() const override { return "RapidMamba2"; }

  // x, then two arrays a sequence, in and out.
  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    auto call = std::make_shared<Call>();
    const Mamba2Shape& shape = layer_->shape;
    call->layer = layer_;
    call->out = allocate(outputs[0]);
    call->rows = outputs[0].shape(0);
    const auto* x = rows<float>(inputs[0]);
    const auto width = static_cast<size_t>(shape.width());
    for (size_t i = 0; i < batch_.size(); ++i) {
      const auto first = static_cast<size_t>(batch_[i].first_row);
      const size_t at = 1 + 2 * i;
      Sequence s;
      s.conv.x = x + first * width;
      s.conv.stride = width;
      s.conv.rows = batch_[i].rows;
      s.conv.kernel = shape.kernel;
      s.conv.channels = shape.channels();
      s.conv.before = rows<float>(inputs[at]);
      s.conv.after = allocate(outputs[at]);
      s.state = rows<float>(inputs[at + 1]);
      s.next_state = in_place_or_new(inputs[at + 1], outputs[at + 1]);
      s.out = call->out + first * static_cast<size_t>(shape.inner());
      call->sequences.push_back(s);
    }
    encoder().dispatch([call] { run(*call); });
  }

 private:
  Mamba2Ptr layer_;
  std::vector<FoldRows> batch_;  // without the arrays, which are inputs
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("mamba2: ") + what);
  }
}

void check_layer(const Mamba2& layer) {
  const Mamba2Shape& s = layer.shape;
  check(
      s.groups > 0 && s.heads % s.groups == 0 && s.kernel > 1 &&
          s.kernel <= kMostTaps,
      "the groups or the kernel");
  const auto is = [](const mx::array& a, const mx::Shape& shape) {
    return a.shape() == shape;
  };
  check(
      is(layer.conv, {s.kernel, s.channels()}) &&
          (!layer.conv_bias || is(*layer.conv_bias, {s.channels()})) &&
          is(layer.decay, {s.heads}) && is(layer.dt_bias, {s.heads}) &&
          is(layer.skip, {s.heads}) && is(layer.norm.weight, {s.inner()}),
      "a parameter's shape");
}

}  // namespace

Folded mamba2_cpu(
    const mx::array& x,
    const Mamba2Ptr& layer,
    std::span<const FoldRows> batch) {
  check_layer(*layer);
  const Mamba2Shape& s = layer->shape;
  check(x.ndim() == 2 && x.shape(1) == s.width(), "the width of the rows");
  FoldPlan plan = plan_fold(
      "mamba2",
      x,
      s.inner(),
      {{s.kernel - 1, s.channels()}, {s.heads, s.state_dim, s.head_dim}},
      batch);
  auto primitive = std::make_shared<RapidMamba2>(layer, std::move(plan.batch));
  return folded(std::move(primitive), std::move(plan));
}

}  // namespace rapid
