// Rows of MLX's packed schemes to float32; tensor/mlx_dequantise.cpp is the
// definition. A group's arithmetic is one multiply and one add, not fused.

// Eight fields of Bits bits from Bits bytes of the stream.
template <int Bits>
inline void fields(const uint8_t* p, int n, uint8_t* q) {
  for (int i = 0; i < n; i += 8) {
    uint64_t stream = 0;
    memcpy(&stream, p, Bits);
    p += Bits;
    for (int j = 0; j < 8; ++j) {
      q[i + j] = static_cast<uint8_t>(stream >> (j * Bits) & ((1 << Bits) - 1));
    }
  }
}

inline void unpack(int bits, const uint8_t* p, int n, uint8_t* q) {
  switch (bits) {
    case 2:
      return fields<2>(p, n, q);
    case 3:
      return fields<3>(p, n, q);
    case 4:
      for (int i = 0; i < n; i += 2) {
        q[i] = p[i / 2] & 0xF;
        q[i + 1] = p[i / 2] >> 4;
      }
      return;
    case 5:
      return fields<5>(p, n, q);
    case 6:
      return fields<6>(p, n, q);
    default:
      memcpy(q, p, static_cast<size_t>(n));
  }
}

inline float plain_value(TensorType type, const uint8_t* p, int at) {
  float out;
  if (type == TensorType::f16) {
    return half(p + 2 * at);
  }
  if (type == TensorType::bf16) {
    brains(p + 2 * at, 1, &out);
  } else {
    memcpy(&out, p + 4 * at, 4);
  }
  return out;
}

inline float from_bits(uint32_t bits) {
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

inline float e2m1(int code) {
  const float value = 0.5f * static_cast<float>(twice_e2m1(code));
  return code & 8 ? -value : value;
}

inline float e4m3(uint32_t code) {
  const uint32_t magnitude = code & 0x7F;
  float value = magnitude < 8
                    ? static_cast<float>(static_cast<int>(magnitude)) * 0x1p-9f
                    : from_bits((magnitude << 20) + (120u << 23));
  value = magnitude == 0x7F ? from_bits(0x7FC00000) : value;
  return code & 0x80 ? -value : value;
}

inline float e8m0(uint32_t code) {
  if (code == 0xFF) {
    return from_bits(0x7FC00000);
  }
  return from_bits(code == 0 ? 0x00400000 : code << 23);
}

void expand_packed(const RowSource& s, int64_t row, float* out) {
  const int size = s.scheme.group_size;
  const int bits = s.scheme.bits;
  const uint8_t* p = s.data + static_cast<size_t>(row) * s.row_bytes;
  const uint8_t* scales =
      s.scales + static_cast<size_t>(row) * s.scale_row_bytes;
  const uint8_t* biases =
      s.biases ? s.biases + static_cast<size_t>(row) * s.scale_row_bytes
               : nullptr;
  uint8_t q[128];
  for (int group = 0; group * size < s.cols; ++group) {
    float* y = out + group * size;
    unpack(bits, p + group * size * bits / 8, size, q);
    if (biases) {
      const float d = plain_value(s.scale_type, scales, group);
      const float m = plain_value(s.scale_type, biases, group);
      for (int i = 0; i < size; ++i) {
        y[i] = static_cast<float>(q[i]) * d + m;
      }
      continue;
    }
    const uint32_t code = scales[group];
    const float d = s.scheme.mode == QuantMode::nvfp4 ? e4m3(code) : e8m0(code);
    if (bits == 8) {
      for (int i = 0; i < size; ++i) {
        y[i] = e4m3(q[i]) * d;
      }
      continue;
    }
    for (int i = 0; i < size; ++i) {
      y[i] = e2m1(q[i]) * d;
    }
  }
}

void expand(const RowSource& s, int64_t row, float* out) {
  if (s.packed) {
    expand_packed(s, row, out);
    return;
  }
  expand_stored(
      s.type, s.data + static_cast<size_t>(row) * s.row_bytes, s.cols, out);
}
