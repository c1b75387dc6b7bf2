// A parameter as its file stores it: bytes in the map, never a second copy.
//
// A matrix is [N, K]: N output rows of K inputs each, rows contiguous. Block
// types pack K; MLX-quantised ones have separate scales and biases. On the CPU
// kernels read these bytes (or a lossless repack of them) directly; a backend
// without such a kernel asks plain_array()/MLX layouts once, at load.
// Immutable once built; any thread may read.
#pragma once

#include <mlx/mlx.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "hub/quant_config.h"
#include "hub/tensor_view.h"

namespace rapid {

namespace mx = mlx::core;

// What a kernel made of a weight at load time: packed panels, GPU arrays.
struct PreparedWeight {
  virtual ~PreparedWeight() = default;
};

struct Weight {
  std::string name;
  int64_t rows = 0;  // N; a vector has rows = its length and cols = 1
  int64_t cols = 0;  // K, in elements
  TensorView data;   // blocks, plain elements, or MLX's packed uint32
  // MLX quantisation only:
  std::optional<QuantScheme> scheme;
  std::optional<TensorView> scales;
  std::optional<TensorView> biases;  // affine only

  bool exact = false;  // products keep float32 activations

  // What the views point into where that is no file.
  std::shared_ptr<const void> memory;

  // Owned here so that weight and prepared form live and die together.
  mutable std::shared_ptr<const PreparedWeight> prepared;
};

using WeightPtr = std::shared_ptr<const Weight>;

// Rows [first, first + count) as a weight of their own, nothing copied.
WeightPtr row_slice(const Weight& weight, int64_t first, int64_t count);

// The whole parameter as float32 [N, K] (or [N]); bit-equal to dequantise()
// and to mlx's dequantize. For tests, small vectors and fallbacks.
mx::array weight_to_float(const Weight& weight);

}  // namespace rapid
