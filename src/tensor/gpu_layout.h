// A weight in the layouts that MLX's own GPU ops read, made once at load.
//
// Without loss:   Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K -> affine, groups of 32
//                 MXFP4 -> mxfp4; MLX's own schemes and plain floats as stored
// With a warning: Q2_K Q3_K Q6_K -> float16, as MLX has no groups of 16; a log
//                 line names what it costs. So goes an MXFP4 tensor with a
//                 scale code of 255, which MLX reads as NaN; float32 where
//                 float16 would overflow.
// Affine scales are float16 where that holds them exactly, else float32. In
// float32 arithmetic dequantised values equal dequantise()'s, though a zero
// may have the other sign.
//
// On the CPU nobody calls this but tests: kernels there read the file's bytes.
#pragma once

#include <memory>
#include <optional>

#include "tensor/weight.h"

namespace rapid {

struct GpuLayout {
  mx::array data;  // uint32 [N, K * bits / 32], or floats [N, K]
  std::optional<mx::array> scales;
  std::optional<mx::array> biases;
  std::optional<QuantScheme> scheme;  // none: plain floats

  size_t bytes() const;
};

GpuLayout make_gpu_layout(const Weight& weight);

// The one of `weight.prepared`, made on the first call. Engine thread only.
const GpuLayout& gpu_layout(const Weight& weight);

// Rows of the layout as float32, whole or those of `ids`.
mx::array gpu_rows(
    const GpuLayout& layout,
    const std::optional<mx::array>& ids = std::nullopt);

// x [..., K] float32 -> [..., N] float32.
mx::array gpu_matmul(const mx::array& x, const GpuLayout& layout);

}  // namespace rapid
