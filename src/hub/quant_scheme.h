// The ways MLX packs a quantised matrix.
#pragma once

#include <cstdint>

namespace rapid {

enum class QuantMode : uint8_t { affine, mxfp4, mxfp8, nvfp4 };

struct QuantScheme {
  QuantMode mode = QuantMode::affine;
  int bits = 4;         // affine: 2 3 4 5 6 8; mxfp4, nvfp4: 4; mxfp8: 8
  int group_size = 64;  // affine: 32 64 128; mxfp4, mxfp8: 32; nvfp4: 16
};

}  // namespace rapid
