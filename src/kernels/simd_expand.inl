// Stored rows of GGUF types to float32. Layouts and order of operations are
// those of hub/dequantise.cpp, the definition; loops have fixed lengths so
// that compilers vectorise them. d * q is exact in float32 for every type.

inline uint32_t word(const uint8_t* p) {
  uint32_t w;
  memcpy(&w, p, 4);
  return w;
}

template <int Low, bool Min>
inline void nibbles(const uint8_t* q, float d, float m, float* y) {
  for (int i = 0; i < 16; ++i) {
    const float v = d * static_cast<float>((q[i] & 0xF) - Low);
    y[i] = Min ? v + m : v;
  }
  for (int i = 0; i < 16; ++i) {
    const float v = d * static_cast<float>((q[i] >> 4) - Low);
    y[i + 16] = Min ? v + m : v;
  }
}

template <int Low, bool Min>
inline void fives(const uint8_t* q, uint32_t high, float d, float m, float* y) {
  for (int i = 0; i < 16; ++i) {
    const int fifth = static_cast<int>(high >> i & 1) << 4;
    const float v = d * static_cast<float>((q[i] & 0xF) + fifth - Low);
    y[i] = Min ? v + m : v;
  }
  for (int i = 0; i < 16; ++i) {
    const int fifth = static_cast<int>(high >> (i + 16) & 1) << 4;
    const float v = d * static_cast<float>((q[i] >> 4) + fifth - Low);
    y[i + 16] = Min ? v + m : v;
  }
}

inline void q4_0(const uint8_t* b, float* y) {
  nibbles<8, false>(b + 2, half(b), 0, y);
}

inline void q4_1(const uint8_t* b, float* y) {
  nibbles<0, true>(b + 4, half(b), half(b + 2), y);
}

inline void q5_0(const uint8_t* b, float* y) {
  fives<16, false>(b + 6, word(b + 2), half(b), 0, y);
}

inline void q5_1(const uint8_t* b, float* y) {
  fives<0, true>(b + 8, word(b + 4), half(b), half(b + 2), y);
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

inline float mxfp4_value(int code) {
  const int m = twice_e2m1(code);
  return static_cast<float>(code & 8 ? -m : m);
}

inline void mxfp4(const uint8_t* b, float* y) {
  const uint32_t e = b[0];
  const uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
  float d;
  memcpy(&d, &bits, 4);
  float table[16];
  for (int i = 0; i < 16; ++i) {
    table[i] = d * mxfp4_value(i);
  }
  for (int i = 0; i < 16; ++i) {
    y[i] = table[b[1 + i] & 0xF];
    y[i + 16] = table[b[1 + i] >> 4];
  }
}

inline void q2_k(const uint8_t* b, float* y) {
  const float d = half(b + 80);
  const float dmin = half(b + 82);
  for (int group = 0; group < 16; ++group) {
    const float dl = d * static_cast<float>(b[group] & 0xF);
    const float ml = dmin * static_cast<float>(b[group] >> 4);
    const uint8_t* q = b + 16 + group / 8 * 32 + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      y[group * 16 + i] = dl * static_cast<float>(q[i] >> shift & 3) - ml;
    }
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
    for (int i = 0; i < 16; ++i) {
      const int sub = 4 - ((third[i] >> bit & 1) << 2);
      y[group * 16 + i] = dl * static_cast<float>((q[i] >> shift & 3) - sub);
    }
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
    for (int i = 0; i < 32; ++i) {
      out[i] = dl[0] * static_cast<float>(q[i] & 0xF) - ml[0];
    }
    for (int i = 0; i < 32; ++i) {
      out[i + 32] = dl[1] * static_cast<float>(q[i] >> 4) - ml[1];
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
    for (int i = 0; i < 32; ++i) {
      const int fifth = (high[i] >> group & 1) << 4;
      y[group * 32 + i] =
          dl * static_cast<float>((q[i] >> shift & 0xF) | fifth) - ml;
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
    for (int i = 0; i < 16; ++i) {
      const int q = (low[i] >> low_shift & 0xF) | (high[i] >> high_shift & 3)
                                                      << 4;
      y[group * 16 + i] = dl * static_cast<float>(q - 32);
    }
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
  for (int i = 0; i < n; ++i) {
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
