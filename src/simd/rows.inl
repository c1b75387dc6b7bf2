// Row-wise functions and attention tiles. An element's result does not depend
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

inline float exp_one(float x) {
  return vexp(splat(x))[0];
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

inline float capped(float s, float softcap) {
  return softcap > 0 ? tanhf(s / softcap) * softcap : s;
}

// scores -> weights exp(score - maximum), zeros up to a full vector.
inline void soften(float* scores, int count, const TileQuery& q, float* head) {
  const int whole = count / kLanes * kLanes;
  Vec tops = splat(-__builtin_inff());
  for (int j = 0; j < whole; j += kLanes) {
    Vec s = load(scores + j) * splat(q.scale);
    if (q.softcap > 0) {
      for (int lane = 0; lane < kLanes; ++lane) {
        s[lane] = capped(s[lane], q.softcap);
      }
    }
    store(scores + j, s);
    tops = s > tops ? s : tops;
  }
  float top = tops[0];
  for (int lane = 1; lane < kLanes; ++lane) {
    top = tops[lane] > top ? tops[lane] : top;
  }
  for (int j = whole; j < count; ++j) {
    scores[j] = capped(scores[j] * q.scale, q.softcap);
    top = scores[j] > top ? scores[j] : top;
  }
  Vec total = {};
  for (int j = 0; j < whole; j += kLanes) {
    const Vec p = vexp(load(scores + j) - top);
    store(scores + j, p);
    total += p;
  }
  if (whole < count) {
    const int n = count - whole;
    store_part(scores + whole, vexp(load(scores + whole) - top), n);
    total += load_part(scores + whole, n);
  }
  head[0] = top;
  head[1] = sum(total);
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
// vectors of n. Any split into rows and strips gives the same bits.
template <int R, int C, typename T>
inline void mix_strip(
    const float* a,
    int64_t a_stride,
    const T* b,
    int64_t b_stride,
    int count,
    float* out,
    int64_t out_stride) {
  Vec acc[R][C] = {};
  for (int i = 0; i < count; ++i) {
    Vec as[R];
    for (int r = 0; r < R; ++r) {
      as[r] = splat(a[r * a_stride + i]);
    }
    for (int c = 0; c < C; ++c) {
      const Vec bs = lanes_of(b + i * b_stride + c * kLanes);
      for (int r = 0; r < R; ++r) {
        acc[r][c] = fma(as[r], bs, acc[r][c]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      store(out + r * out_stride + c * kLanes, acc[r][c]);
    }
  }
}

template <int R, typename T>
inline void mix_rows(
    const float* a,
    int64_t a_stride,
    const T* b,
    int64_t b_stride,
    int count,
    int width,
    float* out,
    int64_t out_stride) {
  int n = 0;
  for (; n + 4 * kLanes <= width; n += 4 * kLanes) {
    mix_strip<R, 4>(a, a_stride, b + n, b_stride, count, out + n, out_stride);
  }
  for (; n + kLanes <= width; n += kLanes) {
    mix_strip<R, 1>(a, a_stride, b + n, b_stride, count, out + n, out_stride);
  }
  for (int r = 0; r < R; ++r) {
    for (int at = n; at < width; ++at) {
      float acc = 0;
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
  mix_rows<1, float>(a, 0, b, b_stride, count, width, out, 0);
}

// The last rows, fewer than a whole tile.
template <int R, typename T, typename... Rest>
inline void mix_last(int rows, const float* a, Rest... rest) {
  if constexpr (R > 0) {
    if (rows == R) {
      mix_rows<R, T>(a, rest...);
    } else {
      mix_last<R - 1, T>(rows, a, rest...);
    }
  }
}

template <typename T>
inline void mix(
    int rows,
    const float* a,
    int64_t a_stride,
    const T* b,
    int64_t b_stride,
    int count,
    int width,
    float* out,
    int64_t out_stride) {
  for (; rows >= kTileRows; rows -= kTileRows) {
    mix_rows<kTileRows, T>(
        a, a_stride, b, b_stride, count, width, out, out_stride);
    a += kTileRows * a_stride;
    out += kTileRows * out_stride;
  }
  mix_last<kTileRows - 1, T>(
      rows, a, a_stride, b, b_stride, count, width, out, out_stride);
}

template <typename T>
inline void attend_tile(
    const TileQuery& query,
    const T* keys,
    const T* values,
    int first,
    int last,
    float* partial) {
  constexpr int kStride = kTileKeys + kLanes;  // scores, and room to read on
  constexpr int kRows = 2 * kTileRows;
  float scores[kRows * kStride];
  const int dim = query.dim;
  const int begin = first / kLanes * kLanes;
  const int end = (last + kLanes - 1) / kLanes * kLanes;
  for (int at = 0; at < query.rows; at += kRows) {
    const int rows = query.rows - at < kRows ? query.rows - at : kRows;
    float* out = partial + at * (dim + 2);
    mix<T>(
        rows,
        query.q + static_cast<int64_t>(at) * dim,
        dim,
        keys + begin,
        kTileKeys,
        dim,
        end - begin,
        scores + begin,
        kStride);
    for (int r = 0; r < rows; ++r) {
      float* row = scores + r * kStride + first;
      soften(row, last - first, query, out + r * (dim + 2));
    }
    mix<T>(
        rows,
        scores + first,
        kStride,
        values + static_cast<int64_t>(first) * dim,
        dim,
        last - first,
        dim,
        out + 2,
        dim + 2);
  }
}

void attend(
    const TileQuery& query,
    const float* keys,
    const float* values,
    int first,
    int last,
    float* partial) {
  attend_tile(query, keys, values, first, last, partial);
}

void attend_halves(
    const TileQuery& query,
    const uint16_t* keys,
    const uint16_t* values,
    int first,
    int last,
    float* partial) {
  attend_tile(query, keys, values, first, last, partial);
}

void merge(float* state, const float* partial, int dim) {
  const float top = state[0] > partial[0] ? state[0] : partial[0];
  const float a = exp_one(state[0] - top);
  const float b = exp_one(partial[0] - top);
  state[0] = top;
  for (int i = 1; i < dim + 2; ++i) {
    state[i] = state[i] * a + partial[i] * b;
  }
}
