#include "tensor/mlx_dequantise.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "hub/dequantise.h"

namespace rapid {

namespace {

constexpr std::array<float, 16> kE2m1 = {
    0.0f,
    0.5f,
    1.0f,
    1.5f,
    2.0f,
    3.0f,
    4.0f,
    6.0f,
    -0.0f,
    -0.5f,
    -1.0f,
    -1.5f,
    -2.0f,
    -3.0f,
    -4.0f,
    -6.0f};

// Element `index` of a little-endian stream of `bits`-wide fields.
uint32_t field(const uint8_t* stream, int64_t index, int bits) {
  const int64_t bit = index * bits;
  uint32_t word = stream[bit / 8];
  if (bit % 8 + bits > 8) {
    word |= static_cast<uint32_t>(stream[bit / 8 + 1]) << 8;
  }
  return word >> (bit % 8) & ((1u << bits) - 1);
}

std::vector<float> group_values(const TensorView& view) {
  std::vector<float> out(static_cast<size_t>(view.elements()));
  dequantise(view.type, view.bytes, out);
  return out;
}

float element(QuantMode mode, uint32_t q) {
  switch (mode) {
    case QuantMode::affine:
      return static_cast<float>(q);
    case QuantMode::mxfp8:
      return e4m3_to_float(static_cast<uint8_t>(q));
    default:
      return kE2m1[q];
  }
}

float group_scale(const Weight& weight, size_t group, float plain) {
  const auto code = static_cast<uint8_t>(weight.scales->bytes[group]);
  switch (weight.scheme->mode) {
    case QuantMode::affine:
      return plain;
    case QuantMode::nvfp4:
      return e4m3_to_float(code);
    default:
      return e8m0_to_float(code);
  }
}

}  // namespace

float e4m3_to_float(uint8_t bits) {
  const int exponent = bits >> 3 & 0xF;
  const int mantissa = bits & 7;
  float value =
      exponent == 0
          ? std::ldexp(static_cast<float>(mantissa), -9)
          : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if (exponent == 15 && mantissa == 7) {
    value = std::numeric_limits<float>::quiet_NaN();
  }
  return bits & 0x80 ? -value : value;
}

float e8m0_to_float(uint8_t bits) {
  if (bits == 0xFF) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return std::ldexp(1.0f, bits - 127);
}

void dequantise_mlx(const Weight& weight, std::span<float> out) {
  const QuantScheme& scheme = *weight.scheme;
  const bool affine = scheme.mode == QuantMode::affine;
  const std::vector<float> scales =
      affine ? group_values(*weight.scales) : std::vector<float>{};
  const std::vector<float> biases =
      affine ? group_values(*weight.biases) : std::vector<float>{};
  const auto* packed =
      reinterpret_cast<const uint8_t*>(weight.data.bytes.data());
  const int64_t row_bytes = weight.cols * scheme.bits / 8;
  for (int64_t row = 0; row < weight.rows; ++row) {
    for (int64_t col = 0; col < weight.cols; ++col) {
      const auto at = static_cast<size_t>(row * weight.cols + col);
      const auto group = at / static_cast<size_t>(scheme.group_size);
      const float q = element(
          scheme.mode, field(packed + row * row_bytes, col, scheme.bits));
      const float scale =
          group_scale(weight, group, affine ? scales[group] : 0);
      out[at] = affine ? q * scale + biases[group] : q * scale;
    }
  }
}

}  // namespace rapid
