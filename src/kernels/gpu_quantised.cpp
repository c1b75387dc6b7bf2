#include "kernels/gpu_quantised.h"

#include <algorithm>
#include <bit>

#include "kernels/gpu_kernel.h"
#include "kernels/gpu_ops.h"
#include "tensor/gpu_layout.h"

namespace rapid {

namespace {

constexpr int kMostParts = 4;
constexpr int kRowsAtOnce = 8;
constexpr int kGroupsEach = 3;        // that a multiprocessor holds
constexpr int kNormed = 2;            // rows that a group makes ready itself
constexpr int kRowBytes = 96 * 1024;  // of shared memory, for x
enum Flag { kNorm = 1, kResidual = 2, kBias = 4, kGelu = 8, kFactors = 64 };

// Matrices that one launch can take beside each other.
struct Parts {
  std::vector<const GpuLayout*> layouts;
  std::vector<std::optional<mx::array>> biases;
  std::vector<int> rows;
  int bits = 0;
  int scales = 0;  // as SCALES in the texts
  int group = 0;
  int cols = 0;

  int total() const {
    int out = 0;
    for (const int n : rows) {
      out += n;
    }
    return out;
  }
  int rows_of(size_t i) const { return i < rows.size() ? rows[i] : 0; }
  int shift() const { return std::countr_zero(static_cast<unsigned>(group)); }
};

bool add(
    Parts& parts,
    const GpuLayout& layout,
    const std::optional<mx::array>& bias,
    int rows) {
  if (!read_by_kernels(layout)) {
    return false;
  }
  const QuantScheme& s = *layout.scheme;
  const int cols = layout.data.shape(-1) * 32 / s.bits;
  const int scales = scales_code(layout.scales->dtype());
  if (!parts.layouts.empty() &&
      (parts.bits != s.bits || parts.group != s.group_size ||
       parts.scales != scales || parts.cols != cols ||
       parts.biases.front().has_value() != bias.has_value())) {
    return false;
  }
  parts.bits = s.bits;
  parts.group = s.group_size;
  parts.scales = scales;
  parts.cols = cols;
  parts.layouts.push_back(&layout);
  parts.biases.push_back(bias);
  parts.rows.push_back(rows);
  return true;
}

std::optional<Parts> parts_of(std::span<const Linear> linears) {
  Parts out;
  if (linears.size() > kMostParts) {
    return std::nullopt;
  }
  for (const Linear& linear : linears) {
    const auto rows = static_cast<int>(linear.weight->rows);
    if (!add(out, gpu_layout(*linear.weight), linear.bias, rows)) {
      return std::nullopt;
    }
  }
  return out;
}

// Shared memory that a row takes in quantised_rows.
int row_bytes(const Parts& parts) {
  const int step = 4 * 128 / parts.bits;
  return (parts.cols + step - 1) / step * step * 2 + 64;
}

struct RowsCall {
  const RmsNorm* norm = nullptr;
  std::optional<mx::array> residual;
  std::optional<mx::array> experts;  // [pairs]
  int pairs = 0;
  int x_share = 1;  // pairs that meet the same row
  bool gated = false;
  bool gelu = false;
  bool half_in = false;              // x is what a call with half_out gave, or
  std::optional<mx::array> factors;  // half_rows() with these factors
  bool half_out = false;
};

int flags_of(const Parts& parts, const RowsCall& call) {
  return (call.norm ? kNorm : 0) | (call.residual ? kResidual : 0) |
         (parts.biases.front() ? kBias : 0) | (call.gelu ? kGelu : 0) |
         (call.factors ? kFactors : 0);
}

// x [m, K], m <= 8 rows; or with experts any [R, K].
mx::array few_rows(
    const mx::array& x, const Parts& parts, const RowsCall& call) {
  const int m = call.experts ? 1 : x.shape(0);
  const int rows = call.experts ? call.pairs : m;
  std::vector<mx::array> inputs = {
      x,
      call.norm      ? call.norm->weight
      : call.factors ? *call.factors
                     : x,
      call.residual ? *call.residual : x,
      call.experts ? *call.experts : x};
  for (size_t i = 0; i < parts.layouts.size(); ++i) {
    const GpuLayout& one = *parts.layouts[i];
    inputs.push_back(one.data);
    inputs.push_back(*one.scales);
    inputs.push_back(*one.biases);
    inputs.push_back(parts.biases[i] ? *parts.biases[i] : x);
  }
  const int total = call.gated ? parts.rows[0] : parts.total();
  const GpuKernel& kernel = gpu_kernel(
      "quantised_rows",
      {{"BITS", parts.bits},
       {"SCALES", parts.scales},
       {"PARTS", static_cast<int>(parts.layouts.size())},
       {"GATED", call.gated ? 1 : 0},
       {"EXPERTS", call.experts ? 1 : 0},
       {"HALF_IN", call.half_in ? 1 : 0},
       {"HALF_OUT", call.half_out ? 1 : 0}});
  int tiles = 0;
  for (const int n : parts.rows) {
    tiles += (n + 15) / 16;
  }
  tiles = call.gated ? (parts.rows[0] + 15) / 16 : tiles;
  return kernel.run(
      inputs,
      {mx::Shape{rows, total}},
      {call.half_out ? mx::float16 : mx::float32},
      {m,
       parts.cols,
       parts.rows_of(0),
       call.gated ? 0 : parts.rows_of(1),
       parts.rows_of(2),
       parts.rows_of(3),
       parts.shift(),
       flags_of(parts, call),
       call.x_share,
       call.norm ? call.norm->eps : 0.0f},
      {.x = std::min(tiles, kGroupsEach * cuda_multiprocessors()),
       .y = call.experts ? call.pairs : 1},
      m * row_bytes(parts))[0];
}

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

mx::array rows_between(const mx::array& x, int first, int count) {
  return first == 0 && count == x.shape(0)
             ? x
             : mx::slice(x, {first, 0}, {first + count, x.shape(1)});
}

// In as many launches as the rows need.
mx::array all_rows(
    const mx::array& x, const Parts& parts, const RowsCall& call) {
  const int rows = x.shape(0);
  const int most = std::clamp(kRowBytes / row_bytes(parts), 1, kRowsAtOnce);
  std::vector<mx::array> out;
  for (int first = 0; first < rows; first += most) {
    const int count = std::min(most, rows - first);
    RowsCall part = call;
    if (call.residual) {
      part.residual = rows_between(*call.residual, first, count);
    }
    mx::array in = rows_between(x, first, count);
    if (count > kNormed && !call.half_in) {
      // Else every group would norm all of these rows again.
      const HalfRows half = half_rows(in, call.norm);
      in = half.rows;
      part.norm = nullptr;
      part.half_in = true;
      part.factors = half.factor;
    }
    out.push_back(few_rows(in, parts, part));
  }
  return out.size() == 1 ? out[0] : mx::concatenate(std::move(out), 0);
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

bool read_by_kernels(const GpuLayout& layout) {
  if (!layout.scheme || layout.scheme->mode != QuantMode::affine ||
      !layout.scales || !layout.biases ||
      layout.scales->dtype() != layout.biases->dtype()) {
    return false;
  }
  const QuantScheme& s = *layout.scheme;
  const int cols = layout.data.shape(-1) * 32 / s.bits;
  return (s.bits == 4 || s.bits == 8) && cols % 32 == 0 &&
         layout.scales->shape(-1) == cols / s.group_size;
}

int scales_code(mx::Dtype type) {
  return type == mx::float16 ? 0 : type == mx::bfloat16 ? 1 : 2;
}

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
  if (!add(both, *moe.gate->stacked, moe.gate->biases, moe.gate->rows) ||
      !add(both, *moe.up.stacked, moe.up.biases, moe.up.rows) ||
      !add(down, *moe.down.stacked, moe.down.biases, moe.down.rows)) {
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
