// The plain definition of every stored type: stored bytes -> float32, bit-equal
// to PyPI's gguf package. Slow and obvious; fast kernels are tested against it.
#pragma once

#include <cstddef>
#include <span>

#include "hub/tensor_type.h"

namespace rapid {

// `bytes` holds exactly tensor_bytes(type, out.size()); the caller has checked
// it. Integer types convert by value.
void dequantise(
    TensorType type, std::span<const std::byte> bytes, std::span<float> out);

float half_to_float(uint16_t bits);
float bfloat_to_float(uint16_t bits);

}  // namespace rapid
