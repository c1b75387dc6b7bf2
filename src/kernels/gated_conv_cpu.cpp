#include "kernels/gated_conv_cpu.h"

#include <algorithm>

#include "kernels/conv_taps_cpu.h"
#include "kernels/fold_cpu.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

struct Sequence {
  ConvInput conv;  // its rows are those of u, made on the way
  const float* x = nullptr;
  float* out = nullptr;
};

struct Call {
  GatedConvPtr layer;
  std::vector<Sequence> sequences;
  int dim = 0;

  ConvWeights weights() const {
    return {
        layer->weight.data<float>(),
        layer->bias ? layer->bias->data<float>() : nullptr,
        dim,
        false};
  }
};

// Channels of one thread at a time, whose u of all rows it makes and convolves.
constexpr int kChannels = 256;

void run_channels(const Call& call, const Sequence& s, int first) {
  const int dim = call.dim;
  const int count = std::min(kChannels, dim - first);
  Scratch scratch;
  auto* u = scratch.take<float>(static_cast<size_t>(s.conv.rows) * count);
  ConvInput conv = s.conv;
  conv.x = u;
  conv.stride = static_cast<size_t>(count);
  const auto row_at = [&](int t) {
    return s.x + static_cast<size_t>(t) * 3 * dim + first;
  };
  for (int t = 0; t < conv.rows; ++t) {
    const float* row = row_at(t);
    float* to = u + static_cast<size_t>(t) * count;
    for (int i = 0; i < count; ++i) {
      to[i] = row[i] * row[2 * dim + i];
    }
  }
  for (int t = 0; t < conv.rows; ++t) {
    const float* gate = row_at(t) + dim;
    float* out = s.out + static_cast<size_t>(t) * dim + first;
    convolve(conv, call.weights(), t, 0, first, count, out);
    for (int i = 0; i < count; ++i) {
      out[i] *= gate[i];
    }
  }
  keep_last(conv, 0, first, count);
}

void run(const Call& call) {
  const int parts = (call.dim + kChannels - 1) / kChannels;
  const int units = static_cast<int>(call.sequences.size()) * parts;
  ThreadPool::global().run(units, 1, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      run_channels(
          call,
          call.sequences[static_cast<size_t>(i / parts)],
          i % parts * kChannels);
    }
  });
}

class RapidGatedConv final : public CpuPrimitives {
 public:
  RapidGatedConv(GatedConvPtr layer, std::vector<FoldRows> batch)
      : layer_(std::move(layer)), batch_(std::move(batch)) {}
  const char* name() const override { return "RapidGatedConv"; }

  // x, then an array a sequence, in and out.
  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    auto call = std::make_shared<Call>();
    call->layer = layer_;
    call->dim = layer_->weight.shape(1);
    const auto* x = rows<float>(inputs[0]);
    float* out = allocate(outputs[0]);
    for (size_t i = 0; i < batch_.size(); ++i) {
      const auto first = static_cast<size_t>(batch_[i].first_row);
      Sequence s;
      s.x = x + first * 3 * static_cast<size_t>(call->dim);
      s.out = out + first * static_cast<size_t>(call->dim);
      s.conv.rows = batch_[i].rows;
      s.conv.kernel = layer_->weight.shape(0);
      s.conv.channels = call->dim;
      s.conv.before = rows<float>(inputs[1 + i]);
      s.conv.after = allocate(outputs[1 + i]);
      call->sequences.push_back(s);
    }
    encoder().dispatch([call] { run(*call); });
  }

 private:
  GatedConvPtr layer_;
  std::vector<FoldRows> batch_;  // without the arrays, which are inputs
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("gated_conv: ") + what);
  }
}

}  // namespace

Folded gated_conv_cpu(
    const mx::array& x,
    const GatedConvPtr& layer,
    std::span<const FoldRows> batch) {
  const int kernel = layer->weight.shape(0);
  const int dim = layer->weight.shape(1);
  check(
      kernel > 1 && kernel <= kMostTaps &&
          (!layer->bias || layer->bias->shape() == mx::Shape{dim}),
      "a parameter's shape");
  check(x.ndim() == 2 && x.shape(1) == 3 * dim, "the width of the rows");
  FoldPlan plan = plan_fold("gated_conv", x, dim, {{kernel - 1, dim}}, batch);
  auto primitive =
      std::make_shared<RapidGatedConv>(layer, std::move(plan.batch));
  return folded(std::move(primitive), std::move(plan));
}

}  // namespace rapid
