// Row-wise functions and sums of rows. An element's result does not depend
// on its lane: tails run through the same vector code.

// exp(x) = 2^n exp(r), |r| <= ln2 / 2, by the Cephes polynomial; below -87.3 it
// is 0, above 88 it stays at exp(88). Relative error under 2e-7.
inline Vec vexp(Vec x) {
  const Vec low = splat(-87.3f);
  const Vec high = splat(88.0f);
  const Vec clamped = x < low ? low : (x > high ? high : x);
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23 rounds to an integer
  const Vec n = fma(clamped, splat(1.44269504f), magic) - magic;
  Vec r = fma(n, splat(-0.693359375f), clamped);
  r = fma(n, splat(2.12194440e-4f), r);
  Vec p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r + 1.0f);
  const IntVec power = (__builtin_convertvector(n, IntVec) + 127) << 23;
  const Vec out = p * (Vec)power;
  return x < low ? Vec{} : out;
}

void rms_norm(
    const float* x, const float* weight, float eps, int n, float* out) {
  Vec squares = {};
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec v = load(x + i);
    squares = fma(v, v, squares);
  }
  if (i < n) {
    const Vec v = load_part(x + i, n - i);
    squares = fma(v, v, squares);
  }
  const float mean = sum(squares) / static_cast<float>(n);
  const float scale = 1.0f / sqrtf(mean + eps);
  for (i = 0; i < n; ++i) {
    out[i] = x[i] * scale * weight[i];
  }
}

inline Vec silu_of(Vec g, Vec u) {
  return g / (vexp(-g) + 1.0f) * u;
}

// 0.5 (1 + tanh(t)) = 1 / (1 + exp(-2t)), t = sqrt(2/pi) (g + 0.044715 g^3)
inline Vec gelu_of(Vec g, Vec u) {
  const Vec t = (g + g * g * g * 0.044715f) * 0.7978845608f;
  return g / (vexp(t * -2.0f) + 1.0f) * u;
}

template <Vec (*F)(Vec, Vec)>
inline void map_two(const float* a, const float* b, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(out + i, F(load(a + i), load(b + i)));
  }
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    store_part(
        out + i, F(load_part(a + i, rest), load_part(b + i, rest)), rest);
  }
}

void silu(const float* gate, const float* up, int64_t n, float* out) {
  map_two<silu_of>(gate, up, n, out);
}

void gelu(const float* gate, const float* up, int64_t n, float* out) {
  map_two<gelu_of>(gate, up, n, out);
}

// Vectors of float sums over a few thousand elements, added up in double.
double exp_sum(const float* x, int64_t n, float top, float scale) {
  constexpr int64_t kPiece = 4096;
  double total = 0;
  for (int64_t at = 0; at < n; at += kPiece) {
    const int64_t end = at + kPiece < n ? at + kPiece : n;
    Vec piece = {};
    int64_t i = at;
    for (; i + kLanes <= end; i += kLanes) {
      const Vec w = vexp((load(x + i) - top) * scale);
      piece += w > 0 ? w : Vec{};
    }
    if (i < end) {
      const int rest = static_cast<int>(end - i);
      float lanes[kLanes];
      store(lanes, vexp((load_part(x + i, rest) - top) * scale));
      const Vec w = load_part(lanes, rest);
      piece += w > 0 ? w : Vec{};
    }
    total += sum(piece);
  }
  return total;
}

inline Vec lanes_of(const float* p) {
  return load(p);
}

inline Vec lanes_of(const uint16_t* p) {
  return half_lanes((const uint8_t*)p);
}

inline float element_of(float x) {
  return x;
}

inline float element_of(uint16_t x) {
  uint8_t bits[2];
  memcpy(bits, &x, sizeof(x));
  return half(bits);
}

// out[r][n] = sum over i of a[r][i] * b[i][n], i ascending, for a strip of C
// vectors of n; with `More` on top of what is there. Any split into rows and
// strips, and of the i, gives the same bits.
template <int R, int C, bool More, typename T>
inline void mix_strip(
    const float* a,
    int64_t a_stride,
    const T* b,
    int64_t b_stride,
    int count,
    float* out,
    int64_t out_stride) {
  Vec acc[R][C] = {};
  if constexpr (More) {
    for (int r = 0; r < R; ++r) {
      for (int c = 0; c < C; ++c) {
        acc[r][c] = load(out + r * out_stride + c * kLanes);
      }
    }
  }
  for (int i = 0; i < count; ++i) {
    Vec bs[C];
    for (int c = 0; c < C; ++c) {
      bs[c] = lanes_of(b + i * b_stride + c * kLanes);
    }
    for (int r = 0; r < R; ++r) {
      const Vec as = splat(a[r * a_stride + i]);
      for (int c = 0; c < C; ++c) {
        acc[r][c] = fma(as, bs[c], acc[r][c]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      store(out + r * out_stride + c * kLanes, acc[r][c]);
    }
  }
}

template <int R, bool More, typename T>
inline void mix_rows(
    const float* a,
    int64_t a_stride,
    const T* b,
    int64_t b_stride,
    int count,
    int width,
    float* out,
    int64_t out_stride) {
  // As many sums as registers hold.
  constexpr int C = R <= kTileRows ? 4 : 2;
  int n = 0;
  for (; n + C * kLanes <= width; n += C * kLanes) {
    mix_strip<R, C, More>(
        a, a_stride, b + n, b_stride, count, out + n, out_stride);
  }
  for (; n + kLanes <= width; n += kLanes) {
    mix_strip<R, 1, More>(
        a, a_stride, b + n, b_stride, count, out + n, out_stride);
  }
  for (int r = 0; r < R; ++r) {
    for (int at = n; at < width; ++at) {
      float acc = More ? out[r * out_stride + at] : 0;
      for (int i = 0; i < count; ++i) {
        acc += a[r * a_stride + i] * element_of(b[i * b_stride + at]);
      }
      out[r * out_stride + at] = acc;
    }
  }
}

void weighted_sum(
    const float* a,
    const float* b,
    int64_t b_stride,
    int count,
    int width,
    float* out) {
  mix_rows<1, false, float>(a, 0, b, b_stride, count, width, out, 0);
}
