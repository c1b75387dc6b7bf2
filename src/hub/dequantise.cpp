// Built with -ffp-contract=off: a fused multiply-add would change the bits.
#include "hub/dequantise.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace rapid {

namespace {

using Bytes = const uint8_t*;

template <typename T>
T load(Bytes p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

float half_at(Bytes p) {
  return half_to_float(load<uint16_t>(p));
}

float to_f(int q) {
  return static_cast<float>(q);
}

// Every block type: one block at `b` to its elements at `y`.
// Layouts: ggml-common.h; arithmetic and its order: gguf/quants.py.

// d f16 | 16 bytes: low nibbles are elements 0..15, high ones 16..31
void q4_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * to_f((b[2 + i] & 0xF) - 8);
    y[i + 16] = d * to_f((b[2 + i] >> 4) - 8);
  }
}

// d f16 | m f16 | nibbles as in Q4_0
void q4_1(Bytes b, float* y) {
  const float d = half_at(b);
  const float m = half_at(b + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * to_f(b[4 + i] & 0xF) + m;
    y[i + 16] = d * to_f(b[4 + i] >> 4) + m;
  }
}

int fifth_bit(uint32_t high, int i) {
  return static_cast<int>(high >> i & 1) << 4;
}

// d f16 | 32 high bits | nibbles
void q5_0(Bytes b, float* y) {
  const float d = half_at(b);
  const auto high = load<uint32_t>(b + 2);
  for (int i = 0; i < 16; ++i) {
    const int q = b[6 + i];
    y[i] = d * to_f(((q & 0xF) | fifth_bit(high, i)) - 16);
    y[i + 16] = d * to_f(((q >> 4) | fifth_bit(high, i + 16)) - 16);
  }
}

// d f16 | m f16 | 32 high bits | nibbles
void q5_1(Bytes b, float* y) {
  const float d = half_at(b);
  const float m = half_at(b + 2);
  const auto high = load<uint32_t>(b + 4);
  for (int i = 0; i < 16; ++i) {
    const int q = b[8 + i];
    y[i] = d * to_f((q & 0xF) | fifth_bit(high, i)) + m;
    y[i + 16] = d * to_f((q >> 4) | fifth_bit(high, i + 16)) + m;
  }
}

// d f16 | 32 int8
void q8_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) {
    y[i] = to_f(static_cast<int8_t>(b[2 + i])) * d;
  }
}

// e8m0 exponent | nibbles of e2m1, whose table is doubled and whose scale is
// halved to keep both exact
void mxfp4(Bytes b, float* y) {
  static constexpr std::array<int8_t, 16> kValues = {
      0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  const uint32_t e = b[0];
  const float d =
      std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * to_f(kValues[b[1 + i] & 0xF]);
    y[i + 16] = d * to_f(kValues[b[1 + i] >> 4]);
  }
}

// 16 scale/min nibbles | 64 bytes of 2-bit | d f16 | dmin f16
void q2_k(Bytes b, float* y) {
  const Bytes qs = b + 16;
  const float d = half_at(b + 80);
  const float dmin = half_at(b + 82);
  for (int group = 0; group < 16; ++group) {
    const float dl = d * to_f(b[group] & 0xF);
    const float ml = dmin * to_f(b[group] >> 4);
    const Bytes q = qs + group / 8 * 32 + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      *y++ = dl * to_f(q[i] >> shift & 3) - ml;
    }
  }
}

// 32 bytes of third bits | 64 bytes of 2-bit | 12 bytes of 6-bit scales | d
void q3_k(Bytes b, float* y) {
  const Bytes scales = b + 96;
  const float d = half_at(b + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = scales[group % 8] >> (group / 8 * 4) & 0xF;
    const int high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const float dl = d * to_f((low | high << 4) - 32);
    const int half = group % 2 * 16;
    const Bytes q = b + 32 + group / 8 * 32 + half;
    const Bytes third = b + half;
    const int shift = group / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      const int bit = third[i] >> (group / 2) & 1;
      *y++ = dl * to_f((q[i] >> shift & 3) - (bit ? 0 : 4));
    }
  }
}

// The 8 scales and mins of 6 bits that Q4_K and Q5_K pack into 12 bytes.
struct ScaleMin {
  int scale;
  int min;
};

ScaleMin scale_min(Bytes s, int group) {
  if (group < 4) {
    return {s[group] & 63, s[group + 4] & 63};
  }
  return {
      (s[group + 4] & 0xF) | (s[group - 4] >> 6) << 4,
      (s[group + 4] >> 4) | (s[group] >> 6) << 4};
}

// d f16 | dmin f16 | 12 bytes of scales | 128 bytes of nibbles
void q4_k(Bytes b, float* y) {
  const float d = half_at(b);
  const float dmin = half_at(b + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin s = scale_min(b + 4, group);
    const float dl = d * to_f(s.scale);
    const float ml = dmin * to_f(s.min);
    const Bytes q = b + 16 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      *y++ = dl * to_f(q[i] >> shift & 0xF) - ml;
    }
  }
}

// d f16 | dmin f16 | 12 bytes of scales | 32 of fifth bits | 128 of nibbles
void q5_k(Bytes b, float* y) {
  const float d = half_at(b);
  const float dmin = half_at(b + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin s = scale_min(b + 4, group);
    const float dl = d * to_f(s.scale);
    const float ml = dmin * to_f(s.min);
    const Bytes high = b + 16;
    const Bytes q = b + 48 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int fifth = (high[i] >> group & 1) << 4;
      *y++ = dl * to_f((q[i] >> shift & 0xF) | fifth) - ml;
    }
  }
}

// 128 bytes of nibbles | 64 of 2-bit | 16 int8 scales | d f16
void q6_k(Bytes b, float* y) {
  const float d = half_at(b + 208);
  for (int group = 0; group < 8; ++group) {
    const Bytes low = b + group / 4 * 64 + group % 2 * 32;
    const Bytes high = b + 128 + group / 4 * 32;
    const int low_shift = group / 2 % 2 * 4;
    const int high_shift = group % 4 * 2;
    for (int i = 0; i < 32; ++i) {
      const auto scale = static_cast<int8_t>(b[192 + group * 2 + i / 16]);
      const int q = (low[i] >> low_shift & 0xF) | (high[i] >> high_shift & 3)
                                                      << 4;
      *y++ = d * to_f(scale) * to_f(q - 32);
    }
  }
}

using BlockFunction = void (*)(Bytes, float*);

BlockFunction block_function(TensorType type) {
  switch (type) {
    case TensorType::q4_0:
      return q4_0;
    case TensorType::q4_1:
      return q4_1;
    case TensorType::q5_0:
      return q5_0;
    case TensorType::q5_1:
      return q5_1;
    case TensorType::q8_0:
      return q8_0;
    case TensorType::q2_k:
      return q2_k;
    case TensorType::q3_k:
      return q3_k;
    case TensorType::q4_k:
      return q4_k;
    case TensorType::q5_k:
      return q5_k;
    case TensorType::q6_k:
      return q6_k;
    case TensorType::mxfp4:
      return mxfp4;
    default:
      return nullptr;
  }
}

template <typename T>
void convert(Bytes in, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(load<T>(in + i * sizeof(T)));
  }
}

void plain(TensorType type, Bytes in, std::span<float> out) {
  switch (type) {
    case TensorType::f16:
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = half_at(in + i * 2);
      }
      return;
    case TensorType::bf16:
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = bfloat_to_float(load<uint16_t>(in + i * 2));
      }
      return;
    case TensorType::i8:
      return convert<int8_t>(in, out);
    case TensorType::i16:
      return convert<int16_t>(in, out);
    case TensorType::i32:
      return convert<int32_t>(in, out);
    case TensorType::i64:
      return convert<int64_t>(in, out);
    case TensorType::u8:
    case TensorType::boolean:
      return convert<uint8_t>(in, out);
    case TensorType::u16:
      return convert<uint16_t>(in, out);
    case TensorType::u32:
      return convert<uint32_t>(in, out);
    case TensorType::u64:
      return convert<uint64_t>(in, out);
    default:
      if (!out.empty()) {
        std::memcpy(out.data(), in, out.size_bytes());
      }
  }
}

}  // namespace

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 0x1F;
  uint32_t mantissa = bits & 0x3FF;
  if (exponent == 31) {
    return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  }
  if (exponent != 0) {
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  }
  // Subnormal: mantissa * 2^-24 is exact in float32.
  const float value = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

float bfloat_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

void dequantise(
    TensorType type, std::span<const std::byte> bytes, std::span<float> out) {
  const auto in = reinterpret_cast<Bytes>(bytes.data());
  const BlockFunction block = block_function(type);
  if (!block) {
    plain(type, in, out);
    return;
  }
  const TensorTypeInfo& info = tensor_type_info(type);
  const auto elements = static_cast<size_t>(info.block_size);
  const auto stride = static_cast<size_t>(info.block_bytes);
  for (size_t i = 0; i < out.size() / elements; ++i) {
    block(in + i * stride, out.data() + i * elements);
  }
}

}  // namespace rapid
