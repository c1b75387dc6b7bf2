// Each dot product has one vector accumulator over k and one fixed sum at the
// end, whatever the shape of the tile that computes it.

template <int W, int X>
inline void tile(
    const float* w, const float* x, int k, float* out, int64_t out_stride) {
  Vec acc[W][X] = {};
  int i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    Vec xs[X];
    for (int b = 0; b < X; ++b) {
      xs[b] = load(x + static_cast<int64_t>(b) * k + i);
    }
    for (int a = 0; a < W; ++a) {
      const Vec ws = load(w + static_cast<int64_t>(a) * k + i);
      for (int b = 0; b < X; ++b) {
        acc[a][b] = fma(ws, xs[b], acc[a][b]);
      }
    }
  }
  if (i < k) {
    Vec xs[X];
    for (int b = 0; b < X; ++b) {
      xs[b] = load_part(x + static_cast<int64_t>(b) * k + i, k - i);
    }
#pragma GCC unroll 4  // so that acc stays in registers
    for (int a = 0; a < W; ++a) {
      const Vec ws = load_part(w + static_cast<int64_t>(a) * k + i, k - i);
      for (int b = 0; b < X; ++b) {
        acc[a][b] = fma(ws, xs[b], acc[a][b]);
      }
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < X; ++b) {
#pragma GCC unroll 4
    for (int a = 0; a < W; ++a) {
      out[b * out_stride + a] = sum(acc[a][b]);
    }
  }
}

template <int X>
inline void strip(
    const float* w,
    int count,
    const float* x,
    int k,
    float* out,
    int64_t out_stride) {
  int n = 0;
  for (; n + 4 <= count; n += 4) {
    tile<4, X>(w + static_cast<int64_t>(n) * k, x, k, out + n, out_stride);
  }
  for (; n < count; ++n) {
    tile<1, X>(w + static_cast<int64_t>(n) * k, x, k, out + n, out_stride);
  }
}

void dots(
    const float* w,
    int count,
    const float* x,
    int rows,
    int k,
    float* out,
    int64_t out_stride) {
  int r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) {
    strip<kTileRows>(
        w,
        count,
        x + static_cast<int64_t>(r) * k,
        k,
        out + r * out_stride,
        out_stride);
  }
  for (; r + 2 <= rows; r += 2) {
    strip<2>(
        w,
        count,
        x + static_cast<int64_t>(r) * k,
        k,
        out + r * out_stride,
        out_stride);
  }
  for (; r < rows; ++r) {
    strip<1>(
        w,
        count,
        x + static_cast<int64_t>(r) * k,
        k,
        out + r * out_stride,
        out_stride);
  }
}

// A vector of float16 or bfloat16 elements, and the last few with zeros.
template <bool Brain>
inline Vec wide(const uint8_t* p) {
  if constexpr (Brain) {
    return brain_lanes(p);
  } else {
    return half_lanes(p);
  }
}

template <bool Brain>
inline Vec wide_part(const uint8_t* p, int n) {
  uint8_t lanes[2 * kLanes] = {};
  memcpy(lanes, p, static_cast<size_t>(n) * 2);
  return wide<Brain>(lanes);
}

// The sums of tile<W, 1> over 16-bit rows `row_bytes` apart.
template <int W, bool Brain>
inline void half_tile(
    const uint8_t* w, size_t row_bytes, const float* x, int k, float* out) {
  Vec acc[W] = {};
  int i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    const Vec xs = load(x + i);
    for (int a = 0; a < W; ++a) {
      const uint8_t* at = w + a * row_bytes + 2 * i;
      __builtin_prefetch(at + W * row_bytes);  // of the next rows
      acc[a] = fma(wide<Brain>(at), xs, acc[a]);
    }
  }
  if (i < k) {
    const Vec xs = load_part(x + i, k - i);
#pragma GCC unroll 4  // so that acc stays in registers
    for (int a = 0; a < W; ++a) {
      const Vec ws = wide_part<Brain>(w + a * row_bytes + 2 * i, k - i);
      acc[a] = fma(ws, xs, acc[a]);
    }
  }
  for (int a = 0; a < W; ++a) {
    out[a] = sum(acc[a]);
  }
}

template <bool Brain>
inline void half_rows(
    const RowSource& w, int first, int count, const float* x, float* out) {
  const uint8_t* p = w.data + static_cast<size_t>(first) * w.row_bytes;
  int n = 0;
  for (; n + 4 <= count; n += 4) {
    half_tile<4, Brain>(p + n * w.row_bytes, w.row_bytes, x, w.cols, out + n);
  }
  for (; n < count; ++n) {
    half_tile<1, Brain>(p + n * w.row_bytes, w.row_bytes, x, w.cols, out + n);
  }
}

void half_dots(
    const RowSource& w, int first, int count, const float* x, float* out) {
  if (w.type == TensorType::bf16) {
    half_rows<true>(w, first, count, x, out);
  } else {
    half_rows<false>(w, first, count, x, out);
  }
}

void to_halves(const float* x, int n, uint16_t* out) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store_halves(out + i, load(x + i));
  }
  if (i < n) {
    uint16_t lanes[kLanes];
    store_halves(lanes, load_part(x + i, n - i));
    memcpy(out + i, lanes, static_cast<size_t>(n - i) * sizeof(uint16_t));
  }
}
