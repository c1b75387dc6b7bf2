#include "kernels/conv_taps_cpu.h"

#include <algorithm>
#include <stdexcept>

#include "simd/simd.h"

namespace rapid {

namespace {

// Input row `row` of the sequence, or one of those before the first.
const float* input(const ConvInput& in, int row, int column, int channel) {
  if (row >= 0) {
    return in.x + static_cast<size_t>(row) * in.stride + column;
  }
  const int at = in.kernel - 1 + row;
  return in.before + static_cast<size_t>(at) * in.channels + channel;
}

}  // namespace

void convolve(
    const ConvInput& in,
    const ConvWeights& w,
    int row,
    int column,
    int channel,
    int n,
    float* out) {
  const float* taps[kMostTaps];
  for (int j = 0; j < in.kernel; ++j) {
    taps[j] = input(in, row - in.kernel + 1 + j, column, channel);
  }
  ConvTaps call;
  call.taps = taps;
  call.kernel = in.kernel;
  call.weight = w.weight + channel;
  call.stride = w.channels;
  call.bias = w.bias ? w.bias + channel : nullptr;
  call.silu = w.silu;
  kernel_table().conv(call, n, out);
}

void keep_last(const ConvInput& in, int column, int channel, int n) {
  for (int j = 0; j + 1 < in.kernel; ++j) {
    const float* from = input(in, in.rows - in.kernel + 1 + j, column, channel);
    float* to = in.after + static_cast<size_t>(j) * in.channels + channel;
    std::copy_n(from, n, to);
  }
}

}  // namespace rapid
