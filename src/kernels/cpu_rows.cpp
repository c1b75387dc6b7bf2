#include "kernels/cpu_rows.h"

#include "simd/simd.h"

namespace rapid {

RowBuffer::RowBuffer(
    Scratch& scratch, int count, int cols, bool floats, bool codes, bool fine)
    : count_(count),
      cols_(cols),
      fine_(fine),
      stride_((static_cast<size_t>(cols) + 63) / 64 * 64) {
  if (floats) {
    values_ = scratch.take<float>(static_cast<size_t>(count) * cols);
  }
  const auto rows = static_cast<size_t>(fine ? 2 * count : count);
  if (!codes) {
    return;
  }
  codes_ = scratch.take<int8_t>(rows * stride_);
  scales_ = scratch.take<float>(rows * stride_ / 32);
  sums_ = scratch.take<int32_t>(rows * stride_ / 16);
  quantised_ = scratch.take<QuantisedRow>(rows);
  for (size_t m = 0; m < rows; ++m) {
    quantised_[m] = {
        codes_ + m * stride_,
        scales_ + m * stride_ / 32,
        sums_ + m * stride_ / 16};
  }
}

void RowBuffer::set(int m, const float* x, const RmsNorm* norm) {
  const auto row = static_cast<size_t>(m);
  Scratch scratch;
  const float* in = x;
  if (norm || floats()) {
    const auto width = static_cast<size_t>(cols_);
    float* to = floats() ? values_ + row * width : scratch.take<float>(width);
    if (norm) {
      kernel_table().rms_norm(
          x, norm->weight.data<float>(), norm->eps, cols_, to);
    } else {
      std::copy_n(x, cols_, to);
    }
    in = to;
  }
  if (!codes()) {
    return;
  }
  quantise(row, in);
  if (fine_) {
    auto* rest = scratch.take<float>(static_cast<size_t>(cols_));
    const QuantisedRow& known = quantised_[row];
    for (int c = 0; c < cols_; ++c) {
      const auto code = static_cast<float>(known.codes[c]);
      rest[c] = in[c] - code * known.scales[c / kDotBlock];
    }
    quantise(row + static_cast<size_t>(count_), rest);
  }
}

void RowBuffer::quantise(size_t row, const float* x) {
  kernel_table().quantise(
      x,
      cols_,
      codes_ + row * stride_,
      scales_ + row * stride_ / 32,
      sums_ + row * stride_ / 16);
}

void RowBuffer::set_block(int m, int column, const float* x) {
  const auto row = static_cast<size_t>(m);
  const auto at = static_cast<size_t>(column);
  kernel_table().quantise(
      x,
      kDotBlock,
      codes_ + row * stride_ + at,
      scales_ + (row * stride_ + at) / 32,
      sums_ + (row * stride_ + at) / 16);
}

void RowBuffer::set_part(int m, int column, const float* x, int count) {
  std::copy_n(x, count, values_ + static_cast<size_t>(m) * cols_ + column);
}

void add_columns(
    float* out,
    const float* bias,
    const float* residual,
    int rows,
    int64_t stride,
    int count) {
  for (int m = 0; m < rows; ++m, out += stride) {
    for (int c = 0; bias && c < count; ++c) {
      out[c] += bias[c];
    }
    for (int c = 0; residual && c < count; ++c) {
      out[c] = residual[c] + out[c];
    }
    residual = residual ? residual + stride : nullptr;
  }
}

void finish_row(
    float* out, const RmsNorm& after, const float* residual, int width) {
  kernel_table().rms_norm(
      out, after.weight.data<float>(), after.eps, width, out);
  for (int c = 0; residual && c < width; ++c) {
    out[c] = residual[c] + out[c];
  }
}

}  // namespace rapid
