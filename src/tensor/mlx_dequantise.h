// The plain definition of MLX's packed schemes: packed bits and group scales ->
// float32. Arithmetic is float32 on the scales as stored, that is, bit-equal
// to mlx's dequantize of the same tensors with scales and biases cast to
// float32 first. (With f16 or bf16 scales mlx itself would round each value to
// that type.) Slow and obvious; kernels are tested against it.
#pragma once

#include <span>

#include "tensor/weight.h"

namespace rapid {

// Elements of one matrix row are a little-endian bit stream, bits each, in
// MLX's uint32 words; one scale (and for affine one bias) covers a group.
void dequantise_mlx(const Weight& weight, std::span<float> out);

float e4m3_to_float(uint8_t bits);
float e8m0_to_float(uint8_t bits);

}  // namespace rapid
