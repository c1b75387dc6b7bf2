#include "tensor/affine_blocks.h"

#include <cstring>

#include "hub/dequantise.h"

namespace rapid {

namespace {

float half_at(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return half_to_float(bits);
}

// Q4_0 and Q5_0 have no minimum (value = d * (q - 2^(bits-1))), Q4_1 and Q5_1
// have one; the fives carry 32 high bits before the nibbles.
AffineGroup small_block(const uint8_t* b, bool minimum, bool five) {
  AffineGroup out;
  out.scale = half_at(b);
  out.bias = minimum ? half_at(b + 2) : out.scale * (five ? -16.0f : -8.0f);
  const uint8_t* rest = b + (minimum ? 4 : 2);
  out.q = low_then_high(rest + (five ? 4 : 0));
  if (five) {
    uint32_t high;
    std::memcpy(&high, rest, 4);
    for (size_t i = 0; i < 32; ++i) {
      out.q[i] |= static_cast<uint8_t>((high >> i & 1) << 4);
    }
  }
  return out;
}

AffineGroup q8_0(const uint8_t* b) {
  AffineGroup out;
  out.scale = half_at(b);
  out.bias = out.scale * -128.0f;
  for (size_t i = 0; i < 32; ++i) {
    out.q[i] = b[2 + i] ^ 0x80;
  }
  return out;
}

// Q4_K and Q5_K: 8 groups whose scales and minimums are packed in 6 bits.
AffineGroup k_block(const uint8_t* b, int group, bool five) {
  const uint8_t* s = b + 4;
  const bool first = group < 4;
  const int scale =
      first ? s[group] & 63 : (s[group + 4] & 0xF) | (s[group - 4] >> 6) << 4;
  const int minimum =
      first ? s[group + 4] & 63 : s[group + 4] >> 4 | (s[group] >> 6) << 4;
  AffineGroup out;
  out.scale = half_at(b) * static_cast<float>(scale);
  out.bias = -(half_at(b + 2) * static_cast<float>(minimum));
  const uint8_t* high = b + 16;
  const uint8_t* nibbles = b + (five ? 48 : 16) + group / 2 * 32;
  for (size_t i = 0; i < 32; ++i) {
    int q = nibbles[i] >> (group % 2 * 4) & 0xF;
    if (five) {
      q |= (high[i] >> group & 1) << 4;
    }
    out.q[i] = static_cast<uint8_t>(q);
  }
  return out;
}

}  // namespace

std::array<uint8_t, 32> low_then_high(const uint8_t* bytes) {
  std::array<uint8_t, 32> out;
  for (size_t i = 0; i < 16; ++i) {
    out[i] = bytes[i] & 0xF;
    out[i + 16] = bytes[i] >> 4;
  }
  return out;
}

int affine_bits(TensorType type) {
  switch (type) {
    case TensorType::q4_0:
    case TensorType::q4_1:
    case TensorType::q4_k:
      return 4;
    case TensorType::q5_0:
    case TensorType::q5_1:
    case TensorType::q5_k:
      return 5;
    case TensorType::q8_0:
      return 8;
    default:
      return 0;
  }
}

AffineGroup affine_group(TensorType type, const uint8_t* block, int index) {
  switch (type) {
    case TensorType::q4_0:
      return small_block(block, false, false);
    case TensorType::q4_1:
      return small_block(block, true, false);
    case TensorType::q5_0:
      return small_block(block, false, true);
    case TensorType::q5_1:
      return small_block(block, true, true);
    case TensorType::q4_k:
      return k_block(block, index, false);
    case TensorType::q5_k:
      return k_block(block, index, true);
    default:
      return q8_0(block);
  }
}

}  // namespace rapid
