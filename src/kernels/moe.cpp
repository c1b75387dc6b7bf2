#include "kernels/moe.h"

#include "kernels/cpu_matrix.h"
#include "kernels/gpu_ops.h"
#include "kernels/gpu_quantised.h"
#include "kernels/moe_cpu.h"

namespace rapid {

namespace {

mx::array activate(
    const std::optional<mx::array>& gate,
    const mx::array& up,
    const ExpertActivation& a) {
  switch (a.kind) {
    case Gating::silu:
      return gated_reference(*gate, up, Activation::silu);
    case Gating::gelu_tanh:
      return gated_reference(*gate, up, Activation::gelu_tanh);
    case Gating::squared_relu_up:
      return mx::square(mx::maximum(up, mx::array(0.0f)));
    default:
      break;
  }
  const mx::array g = mx::minimum(*gate, mx::array(a.limit));
  const mx::array u = mx::clip(up, mx::array(-a.limit), mx::array(a.limit));
  if (a.kind == Gating::limited_silu) {
    return gated_reference(g, u, Activation::silu);
  }
  const mx::array glu =
      mx::multiply(g, mx::sigmoid(mx::multiply(g, mx::array(a.alpha))));
  return mx::multiply(glu, mx::add(u, mx::array(1.0f)));
}

mx::array shared_part(const mx::array& in, const MixtureOfExperts& moe) {
  const SharedExpert& s = *moe.shared;
  std::optional<mx::array> gate;
  if (s.gate) {
    gate = linear_reference(in, *s.gate);
  }
  const mx::array inner =
      activate(gate, linear_reference(in, s.up), moe.activation);
  mx::array out = linear_reference(inner, s.down);
  if (s.weight) {
    out = mx::multiply(out, mx::sigmoid(linear_reference(in, *s.weight)));
  }
  return s.scale == 1.0f ? out : mx::multiply(out, mx::array(s.scale));
}

mx::array finish(
    const mx::array& in,
    mx::array y,
    const MixtureOfExperts& moe,
    const std::optional<mx::array>& residual) {
  if (moe.shared) {
    y = mx::add(y, shared_part(in, moe));
  }
  if (moe.after) {
    y = norm_rows(y, *moe.after);
  }
  return residual ? mx::add(*residual, y) : y;
}

mx::array router_logits(
    const mx::array& x, const mx::array& in, const MixtureOfExperts& moe) {
  const Router& r = moe.router;
  return linear_reference(r.own_norm ? norm_rows(x, *r.own_norm) : in, r.gate);
}

// [E, rows, C] of what lies as rows of one array or of several.
mx::array stack_rows(
    const std::vector<mx::array>& parts, const ExpertBank& bank, int experts) {
  if (bank.stride == 0) {
    return mx::stack(parts, 0);
  }
  const int cols = parts.front().shape(1);
  const mx::array all =
      mx::slice(parts.front(), {0, 0}, {experts * bank.stride, cols});
  return mx::contiguous(mx::slice(
      mx::reshape(all, {experts, bank.stride, cols}),
      {0, bank.first, 0},
      {experts, bank.first + bank.rows, cols}));
}

std::optional<mx::array> as_float(const std::optional<mx::array>& a) {
  return a ? std::optional(mx::astype(*a, mx::float32)) : std::nullopt;
}

}  // namespace

Linear linear_of(const ExpertBank& bank, int expert) {
  Linear out;
  if (bank.stride == 0) {
    out.weight = bank.weights[static_cast<size_t>(expert)];
  } else {
    const Weight& all = *bank.weights.front();
    WeightPtr mine =
        row_slice(all, bank.first + int64_t{expert} * bank.stride, bank.rows);
    mine->prepared = all.prepared;  // tells that activations are rounded
    out.weight = std::move(mine);
  }
  if (bank.biases) {
    out.bias = mx::take(*bank.biases, expert, 0);
  }
  return out;
}

mx::array gathered_product(
    const mx::array& x, const ExpertBank& bank, const mx::array& experts) {
  const GpuLayout& w = *bank.stacked;
  mx::array y = x;
  if (!w.scheme) {
    y = mx::gather_mm(
        x,
        mx::swapaxes(mx::astype(w.data, mx::float32), 1, 2),
        std::nullopt,
        experts);
  } else {
    constexpr const char* kModes[] = {"affine", "mxfp4", "mxfp8", "nvfp4"};
    const bool affine = w.scheme->mode == QuantMode::affine;
    y = mx::gather_qmm(
        x,
        w.data,
        affine ? mx::astype(*w.scales, mx::float32) : *w.scales,
        as_float(w.biases),
        std::nullopt,
        experts,
        true,
        w.scheme->group_size,
        w.scheme->bits,
        kModes[static_cast<int>(w.scheme->mode)]);
  }
  if (bank.biases) {
    y = mx::add(y, mx::expand_dims(mx::take(*bank.biases, experts, 0), 2));
  }
  return y;
}

bool stack_fits(int first, int stride) {
  return on_gpu() || (first % kPanelRows == 0 && stride % kPanelRows == 0);
}

void prepare(ExpertBank& bank, int experts) {
  if (on_gpu()) {
    stack_for_gpu(bank, experts);
    return;
  }
  for (const WeightPtr& weight : bank.weights) {
    prepare_matrix(*weight);
  }
}

void stack_for_gpu(ExpertBank& bank, int experts) {
  std::vector<mx::array> data;
  std::vector<mx::array> scales;
  std::vector<mx::array> biases;
  std::optional<QuantScheme> scheme;
  for (const WeightPtr& weight : bank.weights) {
    const GpuLayout one = make_gpu_layout(*weight);
    scheme = one.scheme;
    data.push_back(one.data);
    if (one.scales) {
      scales.push_back(*one.scales);
    }
    if (one.biases) {
      biases.push_back(*one.biases);
    }
  }
  GpuLayout all{
      stack_rows(data, bank, experts), std::nullopt, std::nullopt, scheme};
  std::vector<mx::array> made = {all.data};
  if (!scales.empty()) {
    all.scales = stack_rows(scales, bank, experts);
    made.push_back(*all.scales);
  }
  if (!biases.empty()) {
    all.biases = stack_rows(biases, bank, experts);
    made.push_back(*all.biases);
  }
  mx::eval(made);
  bank.stacked = std::move(all);
}

mx::array mixture_of_experts_reference(
    const mx::array& x,
    const MixtureOfExperts& moe,
    const std::optional<mx::array>& residual,
    const std::optional<mx::array>& scores) {
  const mx::array in = moe.before ? norm_rows(x, *moe.before) : x;
  const Choice choice =
      choose_experts(scores ? *scores : router_logits(x, in, moe), moe.router);
  mx::array y = mx::zeros({x.shape(0), moe.down.rows});
  for (int e = 0; e < moe.experts; ++e) {
    const mx::array mine = mx::equal(
        choice.experts, mx::array(static_cast<uint32_t>(e), mx::uint32));
    const mx::array weight = mx::sum(
        mx::where(mine, choice.weights, mx::array(0.0f)), -1, true);  // [T, 1]
    std::optional<mx::array> gate;
    if (moe.gate) {
      gate = linear_reference(in, linear_of(*moe.gate, e));
    }
    const mx::array inner = activate(
        gate, linear_reference(in, linear_of(moe.up, e)), moe.activation);
    y = mx::add(
        y,
        mx::multiply(weight, linear_reference(inner, linear_of(moe.down, e))));
  }
  return finish(in, std::move(y), moe, residual);
}

mx::array mixture_of_experts_gathered(
    const mx::array& x,
    const MixtureOfExperts& moe,
    const std::optional<mx::array>& residual,
    const std::optional<mx::array>& scores) {
  const mx::array in = moe.before ? norm_rows(x, *moe.before) : x;
  const Choice choice =
      choose_experts(scores ? *scores : router_logits(x, in, moe), moe.router);
  if (auto each = experts_gpu(in, choice.experts, moe)) {
    return finish(
        in,
        mx::sum(mx::multiply(*each, mx::expand_dims(choice.weights, 2)), 1),
        moe,
        residual);
  }
  const mx::array rows = mx::expand_dims(in, {1, 2});  // [T, 1, 1, K]
  std::optional<mx::array> gate;
  if (moe.gate) {
    gate = gathered_product(rows, *moe.gate, choice.experts);
  }
  const mx::array inner = activate(
      gate, gathered_product(rows, moe.up, choice.experts), moe.activation);
  const mx::array each = mx::squeeze(
      gathered_product(inner, moe.down, choice.experts), 2);  // [T, k, N]
  mx::array y =
      mx::sum(mx::multiply(each, mx::expand_dims(choice.weights, 2)), 1);
  return finish(in, std::move(y), moe, residual);
}

mx::array mixture_of_experts(
    const mx::array& x,
    const MixtureOfExpertsPtr& moe,
    const std::optional<mx::array>& residual,
    const std::optional<mx::array>& scores) {
  if (cpu_kernels_active()) {
    return mixture_of_experts_cpu(x, moe, residual, scores);
  }
  return moe->up.stacked
             ? mixture_of_experts_gathered(x, *moe, residual, scores)
             : mixture_of_experts_reference(x, *moe, residual, scores);
}

}  // namespace rapid
