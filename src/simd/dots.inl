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
