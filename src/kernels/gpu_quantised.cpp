#include "kernels/gpu_quantised.h"

#include "kernels/gpu_few_rows.h"
#include "kernels/gpu_kernel.h"
#include "kernels/gpu_ops.h"

namespace rapid {

namespace {

struct HalfRows {
  mx::array rows;    // [T, K] float16
  mx::array factor;  // [T]
};

HalfRows half_rows(const mx::array& x, const RmsNorm* norm) {
  const int rows = x.shape(0);
  const int cols = x.shape(1);
  auto out = gpu_kernel("half_rows", {{"GATED", 0}})
                 .run(
                     {x, norm ? norm->weight : x},
                     {x.shape(), mx::Shape{rows}},
                     {mx::float16, mx::float32},
                     {cols, cols, norm ? kNorm : 0, norm ? norm->eps : 0.0f},
                     {.x = rows});
  return {out[0], out[1]};
}

// Up to kFewRows rows. More than a group would norm again and again are made
// ready once.
mx::array all_rows(
    const mx::array& x, const Parts& parts, const RowsCall& call) {
  if (x.shape(0) <= kNormed || call.half_in) {
    return few_rows(x, parts, call);
  }
  const HalfRows half = half_rows(x, call.norm);
  RowsCall ready = call;
  ready.norm = nullptr;
  ready.half_in = true;
  ready.factors = half.factor;
  return few_rows(half.rows, parts, ready);
}

// The matrices as float16 [N, K], below each other.
mx::array half_weights(const Parts& parts) {
  std::vector<mx::array> inputs;
  for (const GpuLayout* one : parts.layouts) {
    inputs.insert(inputs.end(), {one->data, *one->scales, *one->biases});
  }
  const GpuKernel& kernel = gpu_kernel(
      "half_weights",
      {{"BITS", parts.bits},
       {"SCALES", parts.scales},
       {"PARTS", static_cast<int>(parts.layouts.size())}});
  const int64_t units =
      int64_t{parts.total()} * (parts.cols / (128 / parts.bits));
  return kernel.run(
      inputs,
      {mx::Shape{parts.total(), parts.cols}},
      {mx::float16},
      {parts.cols,
       parts.rows_of(0),
       parts.rows_of(1),
       parts.rows_of(2),
       parts.rows_of(3),
       parts.shift()},
      {.x = static_cast<int>((units + 255) / 256)})[0];
}

mx::array half_product(const mx::array& rows, const Parts& parts) {
  return mx::matmul(rows, mx::transpose(half_weights(parts)));
}

std::optional<mx::array> joined_biases(const Parts& parts) {
  if (!parts.biases.front()) {
    return std::nullopt;
  }
  std::vector<mx::array> all;
  for (const auto& bias : parts.biases) {
    all.push_back(*bias);
  }
  return all.size() == 1 ? all[0] : mx::concatenate(std::move(all), 0);
}

mx::array many_rows(
    const HalfRows& x,
    const Parts& parts,
    const std::optional<mx::array>& residual) {
  const mx::array y = half_product(x.rows, parts);
  const auto bias = joined_biases(parts);
  const int n = y.shape(1);
  return gpu_kernel("half_results", {})
      .run(
          {y,
           x.factor,
           bias ? *bias : x.factor,
           residual ? *residual : x.factor},
          {y.shape()},
          {mx::float32},
          {n, (residual ? kResidual : 0) | (bias ? kBias : 0)},
          {.x = (n + 255) / 256, .y = y.shape(0)})[0];
}

bool plain_rows(const mx::array& x) {
  return x.ndim() == 2 && x.dtype() == mx::float32 && x.shape(0) > 0;
}

// What comes after the product where there is a norm.
mx::array finished(
    mx::array y,
    const std::optional<RmsNorm>& after,
    const std::optional<mx::array>& residual) {
  if (!after) {
    return y;
  }
  y = norm_rows(y, *after);
  return residual ? mx::add(*residual, y) : y;
}

}  // namespace

std::optional<mx::array> project_gpu(
    const mx::array& x,
    const Projection& p,
    const std::optional<mx::array>& residual) {
  if (!cuda_kernels_active() || !plain_rows(x)) {
    return std::nullopt;
  }
  const auto parts = parts_of(p.parts);
  if (!parts) {
    return std::nullopt;
  }
  const RmsNorm* norm = p.before ? &*p.before : nullptr;
  const auto added = p.after ? std::nullopt : residual;
  const mx::array y =
      x.shape(0) <= kFewRows
          ? all_rows(x, *parts, {.norm = norm, .residual = added})
          : many_rows(half_rows(x, norm), *parts, added);
  return finished(y, p.after, residual);
}

std::optional<mx::array> gated_mlp_gpu(
    const mx::array& x,
    const GatedMlp& mlp,
    const std::optional<mx::array>& residual) {
  if (!cuda_kernels_active() || !plain_rows(x)) {
    return std::nullopt;
  }
  const std::vector<Linear> pair = {mlp.gate, mlp.up};
  const auto both = parts_of(pair);
  const auto down = parts_of(std::span(&mlp.down, 1));
  if (!both || !down) {
    return std::nullopt;
  }
  const RmsNorm* norm = mlp.before ? &*mlp.before : nullptr;
  const bool gelu = mlp.activation == Activation::gelu_tanh;
  const auto added = mlp.after ? std::nullopt : residual;
  if (x.shape(0) <= kFewRows) {
    const mx::array inner = all_rows(
        x,
        *both,
        {.norm = norm, .gated = true, .gelu = gelu, .half_out = true});
    return finished(
        all_rows(inner, *down, {.residual = added, .half_in = true}),
        mlp.after,
        residual);
  }
  if (both->biases.front()) {
    return std::nullopt;
  }
  const HalfRows in = half_rows(x, norm);
  const mx::array wide = half_product(in.rows, *both);
  const int rows = x.shape(0);
  const int cols = down->cols;
  auto inner = gpu_kernel("half_rows", {{"GATED", 1}})
                   .run(
                       {wide, wide, in.factor},
                       {mx::Shape{rows, cols}, mx::Shape{rows}},
                       {mx::float16, mx::float32},
                       {cols, 2 * cols, gelu ? kGelu : 0, 0.0f},
                       {.x = rows});
  return finished(
      many_rows({inner[0], inner[1]}, *down, added), mlp.after, residual);
}

std::optional<mx::array> experts_gpu(
    const mx::array& x, const mx::array& experts, const MixtureOfExperts& moe) {
  const Gating kind = moe.activation.kind;
  const int k = experts.shape(1);
  const int pairs = experts.shape(0) * k;
  if (!cuda_kernels_active() || !plain_rows(x) || !moe.gate ||
      (kind != Gating::silu && kind != Gating::gelu_tanh) || pairs > 65535) {
    return std::nullopt;
  }
  Parts both;
  Parts down;
  if (!add_part(both, *moe.gate->stacked, moe.gate->biases, moe.gate->rows) ||
      !add_part(both, *moe.up.stacked, moe.up.biases, moe.up.rows) ||
      !add_part(down, *moe.down.stacked, moe.down.biases, moe.down.rows)) {
    return std::nullopt;
  }
  const mx::array chosen = mx::reshape(experts, {pairs});
  const mx::array inner = few_rows(
      x,
      both,
      {.experts = chosen,
       .pairs = pairs,
       .x_share = k,
       .gated = true,
       .gelu = kind == Gating::gelu_tanh,
       .half_out = true});
  const mx::array each = few_rows(
      inner, down, {.experts = chosen, .pairs = pairs, .half_in = true});
  return mx::reshape(each, {experts.shape(0), k, moe.down.rows});
}

}  // namespace rapid
