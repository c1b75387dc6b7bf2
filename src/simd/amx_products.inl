// Matrix products of bfloat16 pairs in tiles, and matrices made into such
// pairs. Included inside amx_cpu.cpp's namespace.

constexpr int kTileRows = 16;
constexpr int kDepth = 32;  // of one product
constexpr size_t kTileBytes = 1024;

// Palette 1: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 are sums, 4 and 5 the left operand, 6 and 7 the right one.
void shape_tiles(int rows) {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.row_bytes[tile] = 64;
    shapes.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : kTileRows);
  }
  _tile_loadconfig(&shapes);
}

// A matrix of bfloat16 pairs: `high` and what that leaves over.
struct Parts {
  uint8_t* high = nullptr;
  uint8_t* low = nullptr;
};

// The left operand, row by row, its columns in runs of 64 bytes; those of the
// weights in the place of the scores they are made of: of each page the high
// parts, then the low ones.
struct Left {
  Parts at;
  size_t stride = 0;  // bytes

  Left from(int row, int page, int step) const {
    constexpr int kPageBytes = kPageKeys * sizeof(float);
    const size_t by =
        static_cast<size_t>(row) * stride + page * kPageBytes + step * 64;
    return {{at.high + by, at.low + by}, stride};
  }
};

#define RAPID_LOAD_RIGHT(from) \
  _tile_loadd(6, from, 64);    \
  _tile_loadd(7, (from) + next, 64)
#define RAPID_LOAD_LEFT(from)                \
  _tile_loadd(4, from, a.stride);            \
  if constexpr (Two) {                       \
    _tile_loadd(5, (from) + down, a.stride); \
  }
#define RAPID_MULTIPLY       \
  _tile_dpbf16ps(0, 4, 6);   \
  _tile_dpbf16ps(1, 4, 7);   \
  if constexpr (Two) {       \
    _tile_dpbf16ps(2, 5, 6); \
    _tile_dpbf16ps(3, 5, 7); \
  }

// Adds 32 columns of one or two tiles of rows times those of two tiles of the
// right operand, `next` bytes apart.
template <bool Two>
inline void add_products(const Left& a, const Parts& b, size_t next) {
  const size_t down = kTileRows * a.stride;
  RAPID_LOAD_RIGHT(b.high);
  RAPID_LOAD_LEFT(a.at.high);
  RAPID_MULTIPLY
  RAPID_LOAD_LEFT(a.at.low);
  RAPID_MULTIPLY
  RAPID_LOAD_RIGHT(b.low);
  RAPID_LOAD_LEFT(a.at.high);
  RAPID_MULTIPLY
}

#undef RAPID_LOAD_RIGHT
#undef RAPID_LOAD_LEFT
#undef RAPID_MULTIPLY

#define RAPID_LOAD_MULTIPLY(sum, right, from) \
  _tile_loadd(right, from, 64);               \
  _tile_dpbf16ps(sum, 4, right);

// The same order for one tile of rows and four of the right operand.
inline void add_wide_products(const Left& a, const Parts& b, size_t next) {
  _tile_loadd(4, a.at.high, a.stride);
  _tile_loadd(5, a.at.low, a.stride);
  RAPID_LOAD_MULTIPLY(0, 6, b.high)
  RAPID_LOAD_MULTIPLY(1, 7, b.high + next)
  _tile_dpbf16ps(0, 5, 6);
  RAPID_LOAD_MULTIPLY(2, 6, b.high + 2 * next)
  _tile_dpbf16ps(1, 5, 7);
  RAPID_LOAD_MULTIPLY(3, 7, b.high + 3 * next)
  _tile_dpbf16ps(2, 5, 6);
  RAPID_LOAD_MULTIPLY(0, 6, b.low)
  _tile_dpbf16ps(3, 5, 7);
  RAPID_LOAD_MULTIPLY(1, 7, b.low + next)
  RAPID_LOAD_MULTIPLY(2, 6, b.low + 2 * next)
  RAPID_LOAD_MULTIPLY(3, 7, b.low + 3 * next)
}

#undef RAPID_LOAD_MULTIPLY

// The right operand: tiles of 32 rows (as 16 pairs) and 16 columns, first all
// of a column. Rows and columns are multiples of 32.
struct Right {
  Parts at;
  int steps = 0;    // of 32 rows
  int columns = 0;  // of 16

  size_t column_bytes() const { return steps * kTileBytes; }
  Parts tile(int column, int step) const {
    const size_t by = (static_cast<size_t>(column) * steps + step) * kTileBytes;
    return {at.high + by, at.low + by};
  }
};

inline float* sums_at(float* out, size_t stride, int row, int column) {
  return out + row * stride + static_cast<size_t>(column) * kTileRows;
}

// out [rows, 16 columns] = a b, or += where there is `more`. The rows of b are
// `parts` operands one below the other, each of kPageKeys but the last one.
void multiply(
    const Left& a,
    int rows,
    const Right* parts,
    int count,
    float* out,
    size_t stride,
    bool more) {
  const Right& b = *parts;
  // The intrinsics of tiles don't tell compilers that they read memory.
  asm volatile("" ::: "memory");
  const size_t bytes = stride * sizeof(float);
  const bool two = rows > kTileRows;
  const int wide = two ? 2 : 4;
  for (int column = 0; column < b.columns;) {
    const bool four = !two && column + wide <= b.columns;
    // Where each sum lies: one below the other, or side by side.
    float* place[4] = {
        sums_at(out, stride, 0, column), sums_at(out, stride, 0, column + 1)};
    place[2] = two ? sums_at(out, stride, kTileRows, column)
                   : sums_at(out, stride, 0, column + 2);
    place[3] = two ? sums_at(out, stride, kTileRows, column + 1)
                   : sums_at(out, stride, 0, column + 3);
    const bool all = two || four;
    if (more) {
      _tile_loadd(0, place[0], bytes);
      _tile_loadd(1, place[1], bytes);
      if (all) {
        _tile_loadd(2, place[2], bytes);
        _tile_loadd(3, place[3], bytes);
      }
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int i = 0; i < count; ++i) {
      const size_t next = parts[i].column_bytes();
      for (int step = 0; step < parts[i].steps; ++step) {
        const Left part = a.from(0, i, step);
        const Parts tile = parts[i].tile(column, step);
        if (two) {
          add_products<true>(part, tile, next);
        } else if (four) {
          add_wide_products(part, tile, next);
        } else {
          add_products<false>(part, tile, next);
        }
      }
    }
    _tile_stored(0, place[0], bytes);
    _tile_stored(1, place[1], bytes);
    if (all) {
      _tile_stored(2, place[2], bytes);
      _tile_stored(3, place[3], bytes);
    }
    column += four ? 4 : 2;
  }
}

inline __m512i upper_half(__m512 x) {
  return _mm512_and_si512(
      _mm512_castps_si512(x), _mm512_set1_epi32(static_cast<int>(0xFFFF0000)));
}

// Two vectors' upper halves, the first one's in the even places.
inline __m512i pairs_of(__m512 even, __m512 odd) {
  return _mm512_mask_blend_epi16(
      0xAAAAAAAA,
      _mm512_srli_epi32(_mm512_castps_si512(even), 16),
      _mm512_castps_si512(odd));
}

inline __m512 left_over(__m512 x) {
  return _mm512_sub_ps(x, _mm512_castsi512_ps(upper_half(x)));
}

// Two rows' 16 halves in a column to their line of a tile.
inline void split_line(__m512 x, __m512 y, const Parts& tile, size_t line) {
  _mm512_store_si512(tile.high + line, pairs_of(x, y));
  _mm512_store_si512(tile.low + line, pairs_of(left_over(x), left_over(y)));
}

// Two rows 16 apart of a matrix of float16, made into 16-bit pairs.
inline void split_pair(
    const uint16_t* from,
    int valid,
    int width,
    int64_t by,
    const Right& to,
    int pair) {
  const auto lines = static_cast<int64_t>(to.column_bytes());
  const int row = pair / kTileRows * kDepth + pair % kTileRows;
  const uint16_t* even = from + static_cast<int64_t>(row) * width;
  const uint16_t* odd = even + kTileRows * width;
  Parts tile = to.tile(0, pair / kTileRows);
  const size_t line = static_cast<size_t>(pair % kTileRows) * 64;
  int column = 0;
  const auto advance = [&] {
    even += kTileRows;
    odd += kTileRows;
    tile.high += lines;
    tile.low += lines;
    ++column;
  };
  if (row + kTileRows < valid) {
    while (column < to.columns && (column + 1) * kTileRows <= width) {
      if (column % 2 == 0) {
        __builtin_prefetch(even + by, 0, 1);
        __builtin_prefetch(odd + by, 0, 1);
      }
      split_line(
          _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)even)),
          _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)odd)),
          tile,
          line);
      advance();
    }
  }
  while (column < to.columns) {
    const int left = width - column * kTileRows;
    const auto mask = static_cast<__mmask16>(
        left >= kTileRows ? 0xFFFF
        : left > 0        ? (1 << left) - 1
                          : 0);
    const __mmask16 first = row < valid ? mask : 0;
    const __mmask16 second = row + kTileRows < valid ? mask : 0;
    split_line(
        _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first, even)),
        _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(second, odd)),
        tile,
        line);
    advance();
  }
}

// Makes a right operand of a matrix [rows, width] of float16; what is outside
// of it, and the rows from `valid` on, is zero. Of 32 rows the first 16 are the
// even ones, as of weights and queries. Asks for the line of `ahead` in the
// place of each that it reads, no nearer than the second cache: the first one
// is full of parts.
void split_halves(
    const uint16_t* from,
    int valid,
    int width,
    const uint16_t* ahead,
    const Right& to) {
  const int64_t by = ahead ? ahead - from : 0;
  for (int pair = 0; pair < to.steps * kTileRows; ++pair) {
    split_pair(from, valid, width, by, to, pair);
  }
}

// What bfloat16 makes of x, rounded, as float32.
inline __m512 rounded(__m512 x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(
      _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)), 16));
}

// Queries [rows, dim] as a left operand, zeros behind dim.
void split_queries(const float* q, int rows, int dim, const Left& to) {
  const int wide = static_cast<int>(to.stride / 2);
  const auto part = [&](const float* row, int at) {
    const int left = dim - at;
    const auto mask = static_cast<__mmask16>(
        left >= kTileRows ? 0xFFFF
        : left > 0        ? (1 << left) - 1
                          : 0);
    return _mm512_maskz_loadu_ps(mask, row + at);
  };
  for (int r = 0; r < rows; ++r) {
    const float* row = q + static_cast<size_t>(r) * dim;
    for (int at = 0; at < wide; at += kDepth) {
      const __m512 x = part(row, at);
      const __m512 y = part(row, at + kTileRows);
      const __m512 high_x = rounded(x);
      const __m512 high_y = rounded(y);
      const Left place = to.from(r, 0, at / kDepth);
      _mm512_store_si512(place.at.high, pairs_of(high_x, high_y));
      _mm512_store_si512(
          place.at.low,
          pairs_of(
              rounded(_mm512_sub_ps(x, high_x)),
              rounded(_mm512_sub_ps(y, high_y))));
    }
  }
}
