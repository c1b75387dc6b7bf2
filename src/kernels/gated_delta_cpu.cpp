#include "kernels/gated_delta_cpu.h"

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
  int first_row = 0;
};

struct Call {
  GatedDeltaPtr layer;
  std::vector<Sequence> sequences;
  std::vector<std::vector<int>> groups;  // value heads by key head
  std::vector<float> query_scale;        // makes rms_norm a unit norm
  std::vector<float> key_scale;
  const float* x = nullptr;
  float* out = nullptr;

  const GatedDeltaShape& shape() const { return layer->shape; }
};

constexpr int kBlockTokens = 32;
// A strip of a state's columns stays in the first cache for a whole block.
constexpr int kStrip = 64;

float decay_of(const GatedDelta& layer, const float* row, int head) {
  const auto h = static_cast<size_t>(head);
  const float a = row[layer.layout.a[h]] + layer.dt_bias.data<float>()[h];
  const float step = std::max(a, 0.0f) + std::log1p(std::exp(-std::abs(a)));
  return std::exp(layer.decay.data<float>()[h] * step);
}

float beta_of(const GatedDelta& layer, const float* row, int head) {
  const float b = row[layer.layout.b[static_cast<size_t>(head)]];
  return 1.0f / (1.0f + std::exp(-b));
}

// Convolved q and k of a key head for one block of rows, of unit length.
struct Keys {
  float* q;
  float* k;
};

void take_keys(
    const Call& call, const Sequence& s, int head, int row, int rows, Keys to) {
  const GatedDelta& layer = *call.layer;
  const int dim = call.shape().key_dim;
  const auto h = static_cast<size_t>(head);
  const float eps = 1e-6f / static_cast<float>(dim);
  const ConvWeights w{
      layer.conv.data<float>(), nullptr, call.shape().channels(), true};
  const int channel = head * dim;
  for (int t = 0; t < rows; ++t) {
    float* q = to.q + static_cast<size_t>(t) * dim;
    float* k = to.k + static_cast<size_t>(t) * dim;
    convolve(s.conv, w, row + t, layer.layout.q[h], channel, dim, q);
    convolve(
        s.conv,
        w,
        row + t,
        layer.layout.k[h],
        call.shape().keys() + channel,
        dim,
        k);
    kernel_table().rms_norm(q, call.query_scale.data(), eps, dim, q);
    kernel_table().rms_norm(k, call.key_scale.data(), eps, dim, k);
  }
}

// A block of rows of one value head.
void run_values(
    const Call& call,
    const Sequence& s,
    int head,
    int row,
    int rows,
    Keys keys) {
  const GatedDelta& layer = *call.layer;
  const GatedDeltaShape& shape = call.shape();
  const int dim = shape.value_dim;
  const auto h = static_cast<size_t>(head);
  const auto row_at = [&](int t) {
    return call.x + static_cast<size_t>(s.first_row + row + t) *
                        static_cast<size_t>(layer.layout.width);
  };
  Scratch scratch;
  auto* values = scratch.take<float>(static_cast<size_t>(rows) * dim);
  auto* mixed = scratch.take<float>(static_cast<size_t>(rows) * dim);
  float decays[kBlockTokens];
  float betas[kBlockTokens];
  const ConvWeights w{
      layer.conv.data<float>(), nullptr, shape.channels(), true};
  for (int t = 0; t < rows; ++t) {
    convolve(
        s.conv,
        w,
        row + t,
        layer.layout.v[h],
        2 * shape.keys() + head * dim,
        dim,
        values + static_cast<size_t>(t) * dim);
    decays[t] = decay_of(layer, row_at(t), head);
    betas[t] = beta_of(layer, row_at(t), head);
  }
  float* state = s.next_state + h * static_cast<size_t>(shape.key_dim) * dim;
  for (int column = 0; column < dim; column += kStrip) {
    for (int t = 0; t < rows; ++t) {
      const size_t at = static_cast<size_t>(t) * dim + column;
      FoldToken token;
      token.key = keys.k + static_cast<size_t>(t) * shape.key_dim;
      token.query = keys.q + static_cast<size_t>(t) * shape.key_dim;
      token.value = values + at;
      token.out = mixed + at;
      token.dim = shape.key_dim;
      token.decay = decays[t];
      token.beta = betas[t];
      token.delta = true;
      kernel_table().fold(
          token, state + column, dim, std::min(kStrip, dim - column));
    }
  }
  for (int t = 0; t < rows; ++t) {
    float* y = mixed + static_cast<size_t>(t) * dim;
    kernel_table().rms_norm(
        y, layer.norm.weight.data<float>(), layer.norm.eps, dim, y);
    float* out = call.out +
                 static_cast<size_t>(s.first_row + row + t) * shape.values() +
                 h * static_cast<size_t>(dim);
    kernel_table().silu(row_at(t) + layer.layout.z[h], y, dim, out);
  }
}

void keep_inputs(const Call& call, const Sequence& s, int head) {
  const GatedDeltaShape& shape = call.shape();
  const GatedDeltaLayout& at = call.layer->layout;
  const auto h = static_cast<size_t>(head);
  const int channel = head * shape.key_dim;
  keep_last(s.conv, at.q[h], channel, shape.key_dim);
  keep_last(s.conv, at.k[h], shape.keys() + channel, shape.key_dim);
  for (const int value : call.groups[h]) {
    keep_last(
        s.conv,
        at.v[static_cast<size_t>(value)],
        2 * shape.keys() + value * shape.value_dim,
        shape.value_dim);
  }
}

// All rows of one sequence for a key head and the value heads that meet it.
void run_head(const Call& call, const Sequence& s, int head) {
  const GatedDeltaShape& shape = call.shape();
  const std::vector<int>& group = call.groups[static_cast<size_t>(head)];
  const auto size = static_cast<size_t>(shape.key_dim) * shape.value_dim;
  if (s.state != s.next_state) {
    for (const int value : group) {
      const size_t at = static_cast<size_t>(value) * size;
      std::copy_n(s.state + at, size, s.next_state + at);
    }
  }
  Scratch scratch;
  const size_t floats = static_cast<size_t>(kBlockTokens) * shape.key_dim;
  const Keys keys{scratch.take<float>(floats), scratch.take<float>(floats)};
  for (int row = 0; row < s.conv.rows; row += kBlockTokens) {
    const int rows = std::min(kBlockTokens, s.conv.rows - row);
    take_keys(call, s, head, row, rows, keys);
    for (const int value : group) {
      run_values(call, s, value, row, rows, keys);
    }
  }
  keep_inputs(call, s, head);
}

void run(const Call& call) {
  const int heads = call.shape().key_heads;
  const int units = static_cast<int>(call.sequences.size()) * heads;
  ThreadPool::global().run(units, 1, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      run_head(call, call.sequences[static_cast<size_t>(i / heads)], i % heads);
    }
  });
}

class RapidGatedDelta final : public CpuPrimitives {
 public:
  RapidGatedDelta(GatedDeltaPtr layer, std::vector<FoldRows> batch)
      : layer_(std::move(layer)), batch_(std::move(batch)) {}
  const char* name() const override { return "RapidGatedDelta"; }

  // x, then two arrays a sequence, in and out.
  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    auto call = std::make_shared<Call>();
    call->layer = layer_;
    const GatedDeltaShape& shape = layer_->shape;
    call->groups.resize(static_cast<size_t>(shape.key_heads));
    for (int i = 0; i < shape.value_heads; ++i) {
      const int key = layer_->layout.key_head[static_cast<size_t>(i)];
      call->groups[static_cast<size_t>(key)].push_back(i);
    }
    const auto dim = static_cast<float>(shape.key_dim);
    const auto size = static_cast<size_t>(shape.key_dim);
    call->query_scale.assign(size, 1.0f / dim);
    call->key_scale.assign(size, 1.0f / std::sqrt(dim));
    call->x = rows<float>(inputs[0]);
    call->out = allocate(outputs[0]);
    for (size_t i = 0; i < batch_.size(); ++i) {
      call->sequences.push_back(sequence(inputs, outputs, i, call->x));
    }
    encoder().dispatch([call] { run(*call); });
  }

 private:
  Sequence sequence(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs,
      size_t i,
      const float* x) {
    const FoldRows& rows_here = batch_[i];
    const int width = layer_->layout.width;
    Sequence s;
    s.first_row = rows_here.first_row;
    s.conv.x = x + static_cast<size_t>(s.first_row) * width;
    s.conv.stride = width;
    s.conv.rows = rows_here.rows;
    s.conv.kernel = layer_->shape.kernel;
    s.conv.channels = layer_->shape.channels();
    s.conv.before = rows<float>(inputs[1 + 2 * i]);
    s.conv.after = allocate(outputs[1 + 2 * i]);
    s.state = rows<float>(inputs[2 + 2 * i]);
    s.next_state = in_place_or_new(inputs[2 + 2 * i], outputs[2 + 2 * i]);
    return s;
  }

  GatedDeltaPtr layer_;
  std::vector<FoldRows> batch_;  // without the arrays, which are inputs
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("gated_delta: ") + what);
  }
}

void check_layer(const GatedDelta& layer) {
  const GatedDeltaShape& s = layer.shape;
  check(
      s.key_heads > 0 && s.value_heads % s.key_heads == 0 && s.kernel > 1 &&
          s.kernel <= kMostTaps,
      "value heads must be a multiple of the key heads");
  check(
      layer.conv.shape() == mx::Shape{s.kernel, s.channels()} &&
          layer.decay.shape() == mx::Shape{s.value_heads} &&
          layer.dt_bias.shape() == mx::Shape{s.value_heads} &&
          layer.norm.weight.shape() == mx::Shape{s.value_dim},
      "a parameter's shape");
}

}  // namespace

Folded gated_delta_cpu(
    const mx::array& x,
    const GatedDeltaPtr& layer,
    std::span<const FoldRows> batch) {
  check_layer(*layer);
  const GatedDeltaShape& s = layer->shape;
  check(
      x.ndim() == 2 && x.shape(1) == layer->layout.width,
      "the width of the rows");
  FoldPlan plan = plan_fold(
      "gated_delta",
      x,
      s.values(),
      {{s.kernel - 1, s.channels()}, {s.value_heads, s.key_dim, s.value_dim}},
      batch);
  auto primitive =
      std::make_shared<RapidGatedDelta>(layer, std::move(plan.batch));
  return folded(std::move(primitive), std::move(plan));
}

}  // namespace rapid
