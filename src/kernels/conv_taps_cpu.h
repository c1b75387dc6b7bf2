// Short convolutions on the way of a fused kernel, by the definition of
// short_conv.h: a run of channels of one row at a time.
#pragma once

#include <cstddef>

namespace rapid {

// The rows of one sequence in a call, and its inputs before them.
struct ConvInput {
  const float* x = nullptr;  // its first row
  size_t stride = 0;         // floats from row to row
  int rows = 0;
  int kernel = 0;
  int channels = 0;
  const float* before = nullptr;  // [kernel - 1, channels]
  float* after = nullptr;         // the same behind the last row
};

struct ConvWeights {
  const float* weight = nullptr;  // [kernel, channels]
  const float* bias = nullptr;    // [channels] or null
  int channels = 0;
  bool silu = false;
};

// Channels [channel, channel + n), which lie in the rows from `column` on.
void convolve(
    const ConvInput& in,
    const ConvWeights& w,
    int row,
    int column,
    int channel,
    int n,
    float* out);

// Those channels of the last kernel - 1 inputs, to `after`.
void keep_last(const ConvInput& in, int column, int channel, int n);

}  // namespace rapid
