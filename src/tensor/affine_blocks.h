// GGUF blocks seen as MLX affine groups: 32 unsigned numbers q with
// value = q * scale + bias.
#pragma once

#include <array>
#include <cstdint>

#include "hub/tensor_type.h"

namespace rapid {

struct AffineGroup {
  std::array<uint8_t, 32> q;
  float scale;
  float bias;
};

// Bits of q, or 0 where a type is no such thing.
int affine_bits(TensorType type);

// Group `index` of the block at `block`.
AffineGroup affine_group(TensorType type, const uint8_t* block, int index);

// 16 bytes: the low nibbles are elements 0..15, the high ones 16..31.
std::array<uint8_t, 32> low_then_high(const uint8_t* bytes);

}  // namespace rapid
