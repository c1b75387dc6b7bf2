// Stored rows of GGUF types to float32. Layouts and order of operations are
// those of hub/dequantise.cpp, the definition.

inline uint32_t word(const uint8_t* p) {
  uint32_t w;
  memcpy(&w, p, 4);
  return w;
}

inline Bytes16 load16(const uint8_t* p) {
  Bytes16 v;
  memcpy(&v, p, sizeof(v));
  return v;
}

// lookup() of 16 bytes, whatever the width of Codes.
inline Bytes16 lookup16(Bytes16 table, Bytes16 at) {
  Codes wide = {};
  memcpy(&wide, &at, sizeof(at));
  wide = lookup(table, wide);
  memcpy(&at, &wide, sizeof(at));
  return at;
}

// y = d * (q - low) for 16 unsigned q; the variants add or subtract m.
inline void emit(Bytes16 q, int low, float d, float* y) {
  const Sixteen f = widen(q);
  for (int i = 0; i < kParts; ++i) {
    store(y + i * kLanes, (f.part[i] - static_cast<float>(low)) * d);
  }
}

inline void emit_plus(Bytes16 q, float d, float m, float* y) {
  const Sixteen f = widen(q);
  for (int i = 0; i < kParts; ++i) {
    store(y + i * kLanes, f.part[i] * d + m);
  }
}

// 16 bits to the lanes' fifth bits.
inline Bytes16 fifth_bits(uint32_t bits) {
  const Bytes16 lane = {
      1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint64_t spread[2] = {
      (bits & 0xFF) * 0x0101010101010101u,
      (bits >> 8 & 0xFF) * 0x0101010101010101u};
  Bytes16 v;
  memcpy(&v, spread, sizeof(v));
  return (Bytes16)((v & lane) != 0) & 16;
}

inline void q4_0(const uint8_t* b, float* y) {
  const Bytes16 q = load16(b + 2);
  const float d = half(b);
  emit(q & 0xF, 8, d, y);
  emit(q >> 4, 8, d, y + 16);
}

inline void q4_1(const uint8_t* b, float* y) {
  const Bytes16 q = load16(b + 4);
  const float d = half(b);
  const float m = half(b + 2);
  emit_plus(q & 0xF, d, m, y);
  emit_plus(q >> 4, d, m, y + 16);
}

inline void q5_0(const uint8_t* b, float* y) {
  const Bytes16 q = load16(b + 6);
  const float d = half(b);
  const uint32_t high = word(b + 2);
  emit((q & 0xF) | fifth_bits(high), 16, d, y);
  emit((q >> 4) | fifth_bits(high >> 16), 16, d, y + 16);
}

inline void q5_1(const uint8_t* b, float* y) {
  const Bytes16 q = load16(b + 8);
  const float d = half(b);
  const float m = half(b + 2);
  const uint32_t high = word(b + 4);
  emit_plus((q & 0xF) | fifth_bits(high), d, m, y);
  emit_plus((q >> 4) | fifth_bits(high >> 16), d, m, y + 16);
}

inline void q8_0(const uint8_t* b, float* y) {
  const float d = half(b);
  for (int i = 0; i < 32; ++i) {
    y[i] = static_cast<float>(static_cast<int8_t>(b[2 + i])) * d;
  }
}

// Twice the magnitude of an e2m1 code: 0 1 2 3 4 6 8 12.
inline int twice_e2m1(int code) {
  const int m = code & 7;
  return m < 2 ? m : (2 + (m & 1)) << ((m >> 1) - 1);
}

inline void mxfp4(const uint8_t* b, float* y) {
  const uint32_t e = b[0];
  const uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
  float d;
  memcpy(&d, &bits, 4);
  // The doubled values 0 1 2 3 4 6 8 12 and their negatives, plus 12.
  const Bytes16 table = {
      12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  const Bytes16 q = load16(b + 1);
  emit(lookup16(table, q & 0xF), 12, d, y);
  emit(lookup16(table, q >> 4), 12, d, y + 16);
}

inline void q2_k(const uint8_t* b, float* y) {
  const float d = half(b + 80);
  const float dmin = half(b + 82);
  for (int group = 0; group < 16; ++group) {
    const float dl = d * static_cast<float>(b[group] & 0xF);
    const float ml = dmin * static_cast<float>(b[group] >> 4);
    const uint8_t* q = b + 16 + group / 8 * 32 + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    emit_plus(load16(q) >> shift & 3, dl, -ml, y + group * 16);
  }
}

inline void q3_k(const uint8_t* b, float* y) {
  const uint8_t* scales = b + 96;
  const float d = half(b + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = scales[group % 8] >> (group / 8 * 4) & 0xF;
    const int high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const float dl = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t* q = b + 32 + group / 8 * 32 + group % 2 * 16;
    const uint8_t* third = b + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    const int bit = group / 2;
    const Bytes16 two = load16(q) >> shift & 3;
    emit(two | (load16(third) >> bit & 1) << 2, 4, dl, y + group * 16);
  }
}

inline void k_scale_min(
    const uint8_t* s, int group, float d, float dmin, float* dl, float* ml) {
  int scale;
  int min;
  if (group < 4) {
    scale = s[group] & 63;
    min = s[group + 4] & 63;
  } else {
    scale = (s[group + 4] & 0xF) | (s[group - 4] >> 6) << 4;
    min = (s[group + 4] >> 4) | (s[group] >> 6) << 4;
  }
  *dl = d * static_cast<float>(scale);
  *ml = dmin * static_cast<float>(min);
}

inline void q4_k(const uint8_t* b, float* y) {
  const float d = half(b);
  const float dmin = half(b + 2);
  for (int pair = 0; pair < 4; ++pair) {
    const uint8_t* q = b + 16 + pair * 32;
    float dl[2];
    float ml[2];
    for (int i = 0; i < 2; ++i) {
      k_scale_min(b + 4, 2 * pair + i, d, dmin, &dl[i], &ml[i]);
    }
    float* out = y + pair * 64;
    for (int i = 0; i < 32; i += 16) {
      emit_plus(load16(q + i) & 0xF, dl[0], -ml[0], out + i);
      emit_plus(load16(q + i) >> 4, dl[1], -ml[1], out + 32 + i);
    }
  }
}

inline void q5_k(const uint8_t* b, float* y) {
  const float d = half(b);
  const float dmin = half(b + 2);
  for (int group = 0; group < 8; ++group) {
    float dl;
    float ml;
    k_scale_min(b + 4, group, d, dmin, &dl, &ml);
    const uint8_t* high = b + 16;
    const uint8_t* q = b + 48 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; i += 16) {
      const Bytes16 fifth = (load16(high + i) >> group & 1) << 4;
      emit_plus(
          (load16(q + i) >> shift & 0xF) | fifth, dl, -ml, y + group * 32 + i);
    }
  }
}

inline void q6_k(const uint8_t* b, float* y) {
  const float d = half(b + 208);
  for (int group = 0; group < 16; ++group) {
    const int eight = group / 2;  // of 32 elements
    const int half_at = group % 2 * 16;
    const uint8_t* low = b + eight / 4 * 64 + eight % 2 * 32 + half_at;
    const uint8_t* high = b + 128 + eight / 4 * 32 + half_at;
    const int low_shift = eight / 2 % 2 * 4;
    const int high_shift = eight % 4 * 2;
    const float dl =
        d * static_cast<float>(static_cast<int8_t>(b[192 + group]));
    const Bytes16 top = (load16(high) >> high_shift & 3) << 4;
    emit((load16(low) >> low_shift & 0xF) | top, 32, dl, y + group * 16);
  }
}

template <void (*Block)(const uint8_t*, float*), int Elements, int Bytes>
inline void blocks(const uint8_t* p, int n, float* out) {
  for (int i = 0; i < n; i += Elements) {
    Block(p, out + i);
    p += Bytes;
  }
}

inline void brains(const uint8_t* p, int n, float* out) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(out + i, brain_lanes(p + 2 * i));
  }
  for (; i < n; ++i) {
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    const uint32_t bits = static_cast<uint32_t>(h) << 16;
    memcpy(out + i, &bits, 4);
  }
}

void expand_stored(TensorType type, const uint8_t* p, int n, float* out) {
  switch (type) {
    case TensorType::f16:
      return halves(p, n, out);
    case TensorType::bf16:
      return brains(p, n, out);
    case TensorType::q4_0:
      return blocks<q4_0, 32, 18>(p, n, out);
    case TensorType::q4_1:
      return blocks<q4_1, 32, 20>(p, n, out);
    case TensorType::q5_0:
      return blocks<q5_0, 32, 22>(p, n, out);
    case TensorType::q5_1:
      return blocks<q5_1, 32, 24>(p, n, out);
    case TensorType::q8_0:
      return blocks<q8_0, 32, 34>(p, n, out);
    case TensorType::q2_k:
      return blocks<q2_k, 256, 84>(p, n, out);
    case TensorType::q3_k:
      return blocks<q3_k, 256, 110>(p, n, out);
    case TensorType::q4_k:
      return blocks<q4_k, 256, 144>(p, n, out);
    case TensorType::q5_k:
      return blocks<q5_k, 256, 176>(p, n, out);
    case TensorType::q6_k:
      return blocks<q6_k, 256, 210>(p, n, out);
    case TensorType::mxfp4:
      return blocks<mxfp4, 32, 17>(p, n, out);
    default:  // f32; linear() lets no other type through
      memcpy(out, p, static_cast<size_t>(n) * sizeof(float));
  }
}
