// Matrices of e4m3 bytes with one scale per block of rows and columns (or one
// for all), as fp8 checkpoints hold them, made plain at load.
//
//   value[n][k] = e4m3(byte[n][k]) * scale[n / block_rows][k / block_cols]
//
// Scales are floats, or exponents of two in a byte each (e8m0).
//
// The product is float32; `exact` keeps it, else it is rounded to bfloat16,
// half the memory.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "hub/tensor_view.h"

namespace rapid {

struct Fp8Block {
  int64_t rows = 128;
  int64_t cols = 128;
};

// quantization_config.weight_block_size, or 128 x 128.
Fp8Block fp8_block(const Json& config);

// A view of its own memory, which lives as long as the view's `file` is held.
// Errors: `corrupt` naming the tensor where shapes or types do not fit.
Result<TensorView> dequantise_fp8(
    const TensorView& weight,
    const TensorView& scales,
    const Fp8Block& block,
    bool exact);

}  // namespace rapid
