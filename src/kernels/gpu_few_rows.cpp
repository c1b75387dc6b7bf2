#include "kernels/gpu_few_rows.h"

#include <algorithm>

#include "kernels/gpu_kernel.h"

namespace rapid {

namespace {

constexpr int kMostParts = 4;
constexpr int kRowsAtOnce = 8;
constexpr int kGroupsEach = 3;        // that a multiprocessor holds
constexpr int kRowBytes = 96 * 1024;  // of shared memory, for x

// Shared memory that a row takes in quantised_rows.
int row_bytes(const Parts& parts) {
  const int step = 4 * 128 / parts.bits;
  return (parts.cols + step - 1) / step * step * 2 + 64;
}

int flags_of(const Parts& parts, const RowsCall& call) {
  return (call.norm ? kNorm : 0) | (call.residual ? kResidual : 0) |
         (parts.biases.front() ? kBias : 0) | (call.gelu ? kGelu : 0) |
         (call.factors ? kFactors : 0);
}

// How a launch does it.
struct Plan {
  const char* text = "quantised_rows";
  int each = 1;    // rows of a group
  int blocks = 1;  // of so many rows, or pairs
  int groups = 1;  // of a block
  int bytes = 0;   // of shared memory
  Defines more;
};

int tiles_of(const Parts& parts, bool gated) {
  int out = 0;
  for (const int n : parts.rows) {
    out += (n + 15) / 16;
  }
  return gated ? (parts.rows[0] + 7) / 8 : out;
}

// Whether the copy engine can fetch the codes: rows in multiples of what it
// takes.
bool can_stream(const Parts& parts) {
  constexpr int kHopper = 90;
  const int step = 512 / parts.bits;
  const int scale_bytes =
      parts.cols / parts.group * (parts.scales == 2 ? 4 : 2);
  return cuda_capability() >= kHopper && parts.cols % step == 0 &&
         scale_bytes % 16 == 0;
}

// Two groups for each multiprocessor, each with 70 to 80 KB on their way: in
// large pieces, or in more of them where a group has few tiles.
Plan stream_plan(const Parts& parts, const RowsCall& call, int rows) {
  constexpr int kGroups = 2;
  const int tiles = tiles_of(parts, call.gated);
  const bool large = tiles > 5 * cuda_multiprocessors();
  const int stages = large ? 2 : 4;
  const int chunk_bytes = large ? 2048 : 1024;
  const int scale_row =
      chunk_bytes * 8 / parts.bits / parts.group * (parts.scales == 2 ? 4 : 2) +
      16;
  return {
      "quantised_stream",
      rows,
      1,
      std::min(tiles, kGroups * cuda_multiprocessors()),
      rows * row_bytes(parts) +
          stages * 16 * (chunk_bytes + 64 + 2 * scale_row),
      {{"STAGES", stages}, {"CHUNK_BYTES", chunk_bytes}}};
}

Plan plan_of(const Parts& parts, const RowsCall& call, int rows) {
  const int apart = call.experts ? 1 : rows;
  if (apart <= kNormed && can_stream(parts)) {
    Plan plan = stream_plan(parts, call, apart);
    plan.blocks = call.experts ? call.pairs : 1;
    return plan;
  }
  Plan plan;
  plan.each =
      std::min(apart, std::clamp(kRowBytes / row_bytes(parts), 1, kRowsAtOnce));
  plan.blocks = call.experts ? call.pairs : (rows + plan.each - 1) / plan.each;
  // Blocks of rows run beside each other, so that codes come from memory once.
  const int beside = call.experts ? 1 : plan.blocks;
  plan.groups = std::min(
      tiles_of(parts, call.gated),
      std::max(1, kGroupsEach * cuda_multiprocessors() / beside));
  plan.bytes = plan.each * row_bytes(parts);
  return plan;
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

bool add_part(
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
    if (!add_part(out, gpu_layout(*linear.weight), linear.bias, rows)) {
      return std::nullopt;
    }
  }
  return out;
}

mx::array few_rows(
    const mx::array& x, const Parts& parts, const RowsCall& call) {
  const int rows = call.experts ? call.pairs : x.shape(0);
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
  const Plan plan = plan_of(parts, call, rows);
  Defines defines = {
      {"BITS", parts.bits},
      {"SCALES", parts.scales},
      {"PARTS", static_cast<int>(parts.layouts.size())},
      {"GATED", call.gated ? 1 : 0},
      {"EXPERTS", call.experts ? 1 : 0},
      {"HALF_IN", call.half_in ? 1 : 0},
      {"HALF_OUT", call.half_out ? 1 : 0}};
  defines.insert(defines.end(), plan.more.begin(), plan.more.end());
  return gpu_kernel(plan.text, defines)
      .run(
          inputs,
          {mx::Shape{rows, call.gated ? parts.rows[0] : parts.total()}},
          {call.half_out ? mx::float16 : mx::float32},
          {plan.each,
           parts.cols,
           parts.rows_of(0),
           call.gated ? 0 : parts.rows_of(1),
           parts.rows_of(2),
           parts.rows_of(3),
           parts.shift(),
           flags_of(parts, call),
           call.experts ? call.x_share : rows,
           call.norm ? call.norm->eps : 0.0f},
          {.x = plan.groups, .y = plan.blocks},
          plan.bytes)[0];
}

}  // namespace rapid
