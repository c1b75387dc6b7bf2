// AVX-512 with AMX: matrix products of bfloat16 in tiles of 16 rows, sixteen
// times the arithmetic of float32. Whole tiles of float16 pages are met so:
// each operand is split into two bfloat16 numbers, the second of what the
// first left over, and three of the four products are taken. float16 fits
// into two without loss; queries and weights keep 16 bits of mantissa.
//
// A row of a tile product does not depend on the other rows, so a query gets
// the same bits from a tile of one row and from one of 16.
#include "simd/simd.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)

#include <immintrin.h>

#include <cmath>

namespace rapid {

namespace {

#include "simd/amx_products.inl"

constexpr int kMostRows = 2 * kTileRows;  // queries that meet a tile together
constexpr int kScoreStride = kTileKeys + 16;  // not a power of two

// Vectors that go through a chain of steps side by side: one chain alone waits
// for itself.
template <int N>
struct Several {
  __m512 v[N];
};

#define RAPID_EACH _Pragma("GCC unroll 4") for (int i = 0; i < N; ++i)

// exp(x) for x <= 0, or just above. 2^f by a polynomial, |f| <= 1/2:
// relative error under 6e-7, and that of log2(e), 2e-8 |x|.
template <int N>
inline Several<N> exp_of(Several<N> x) {
  const __m512 least = _mm512_set1_ps(-200.0f);
  const __m512 by = _mm512_set1_ps(1.44269504f);
  const __m512 magic = _mm512_set1_ps(12582912.0f);  // rounds to an integer
  Several<N> n;
  Several<N> f;
  Several<N> p;
  RAPID_EACH x.v[i] = _mm512_max_ps(least, x.v[i]);
  RAPID_EACH n.v[i] = _mm512_fmadd_ps(x.v[i], by, magic);
  RAPID_EACH n.v[i] = _mm512_sub_ps(n.v[i], magic);
  RAPID_EACH f.v[i] = _mm512_fmsub_ps(x.v[i], by, n.v[i]);
  RAPID_EACH p.v[i] = _mm512_set1_ps(0.00111255073f);
  constexpr float kRest[] = {
      0.00966628268f, 0.0555740036f, 0.240223512f, 0.693142831f, 1.0f};
  for (const float c : kRest) {
    RAPID_EACH p.v[i] = _mm512_fmadd_ps(p.v[i], f.v[i], _mm512_set1_ps(c));
  }
  RAPID_EACH p.v[i] = _mm512_scalef_ps(p.v[i], n.v[i]);
  return p;
}

void cap_scores(float* scores, float scale, float cap) {
  for (int j = 0; j < kTileKeys; ++j) {
    scores[j] = tanhf(scores[j] * scale / cap) * cap;
  }
}

// A tile's scores times a factor to weights in two parts in their place; `head`
// gets the maximum and the sum. Of 32 weights the first 16 are the even ones.
void soften(float* scores, float factor, float* head) {
  const __m512 scale = _mm512_set1_ps(factor);
  __m512 tops = _mm512_load_ps(scores);
  for (int j = kTileRows; j < kTileKeys; j += kTileRows) {
    tops = _mm512_max_ps(_mm512_load_ps(scores + j), tops);
  }
  const float most = _mm512_reduce_max_ps(tops) * factor;
  const __m512 top = _mm512_set1_ps(most);
  __m512 total = _mm512_setzero_ps();
  constexpr int N = kPageKeys / kTileRows;
  for (int j = 0; j < kTileKeys; j += kPageKeys) {
    Several<N> x;
    RAPID_EACH x.v[i] =
        _mm512_fmsub_ps(_mm512_load_ps(scores + j + i * kTileRows), scale, top);
    x = exp_of(x);
    Several<N> low;
    RAPID_EACH low.v[i] = left_over(x.v[i]);
    for (int i = 0; i < N; i += 2) {
      total = _mm512_add_ps(total, _mm512_add_ps(x.v[i], x.v[i + 1]));
      float* to = scores + j + i / 2 * kTileRows;
      _mm512_store_si512(to, pairs_of(x.v[i], x.v[i + 1]));
      _mm512_store_si512(to + kDepth, pairs_of(low.v[i], low.v[i + 1]));
    }
  }
  head[0] = most;
  head[1] = _mm512_reduce_add_ps(total);
}

#undef RAPID_EACH

// Where things lie in the caller's memory.
struct Plan {
  int wide = 0;             // dim up to a multiple of 32
  int row_floats = 0;       // of a partial: maximum, sum and values from 14 on
  float* scores = nullptr;  // [32, kScoreStride]
  float* partials = nullptr;  // [32, row_floats]
  Left weights;               // the same
  Left queries;               // [32, wide]
  uint8_t* parts = nullptr;   // of each page's keys and values

  size_t part_bytes() const { return size_t{2} * kPageKeys * wide; }

  // In the place of a page's parts.
  Right keys_at(int place) const {
    uint8_t* p = parts + 2 * place * part_bytes();
    return {{p, p + part_bytes()}, wide / kDepth, kPageKeys / kTileRows};
  }
  Right values_at(int place) const {
    uint8_t* p = parts + 2 * place * part_bytes();
    return {{p, p + part_bytes()}, kPageKeys / kDepth, wide / kTileRows};
  }
};

Plan plan_of(int dim, float* memory) {
  Plan out;
  out.wide = (dim + kDepth - 1) / kDepth * kDepth;
  out.row_floats = kTileRows + out.wide;
  auto* at = reinterpret_cast<uint8_t*>(memory);
  const auto take = [&](size_t bytes) {
    uint8_t* p = at;
    at += bytes;
    return p;
  };
  constexpr size_t kScores = size_t{kMostRows} * kScoreStride;
  out.scores = reinterpret_cast<float*>(take(4 * kScores));
  out.partials =
      reinterpret_cast<float*>(take(size_t{4} * kMostRows * out.row_floats));
  out.weights.stride = sizeof(float) * kScoreStride;
  out.weights.at.high = reinterpret_cast<uint8_t*>(out.scores);
  out.weights.at.low = out.weights.at.high + 2 * kPageKeys;
  out.queries.stride = size_t{2} * out.wide;
  out.queries.at.high = take(kMostRows * out.queries.stride);
  out.queries.at.low = take(kMostRows * out.queries.stride);
  out.parts = take(4 * kTilePages * out.part_bytes());
  return out;
}

// Queries by 32 that see all of a tile. The keys of its pages, then their
// values, are split; for many queries all of them at first, for few one after
// the other in the same place, which stays in the cache.
struct Tile {
  const TileQuery& query;
  const TilePages<uint16_t>& pages;
  const Plan& plan;
  bool once = false;

  // Pages of keys and then those of values are numbered from 0 on.
  Right part(int number) const {
    const int place = once ? 0 : number;
    return number < kTilePages ? plan.keys_at(place) : plan.values_at(place);
  }
  const uint16_t* stored(int number) const {
    return number < kTilePages       ? pages.keys[number]
           : number < 2 * kTilePages ? pages.values[number - kTilePages]
                                     : pages.next;
  }
  void split(int number) const {
    const bool keys = number < kTilePages;
    const int rows = keys ? query.dim : kPageKeys;
    const int width = keys ? kPageKeys : query.dim;
    split_halves(stored(number), rows, width, stored(number + 1), part(number));
  }
  void score(int rows) const;
  void weigh(int rows, float* out) const;
  void attend(int at, int rows, float* states) const;
};

void Tile::score(int rows) const {
  for (int page = 0; page < kTilePages; ++page) {
    if (once) {
      split(page);
    }
    const Right right = part(page);
    float* to = plan.scores + page * kPageKeys;
    multiply(plan.queries, rows, &right, 1, to, kScoreStride, false);
  }
}

void Tile::weigh(int rows, float* out) const {
  const auto stride = static_cast<size_t>(plan.row_floats);
  const int together = once ? 1 : kTilePages;
  for (int page = 0; page < kTilePages; page += together) {
    if (once) {
      split(kTilePages + page);
    }
    Right parts[kTilePages];
    for (int i = 0; i < together; ++i) {
      parts[i] = part(kTilePages + page + i);
    }
    const Left weights = plan.weights.from(0, page, 0);
    multiply(weights, rows, parts, together, out, stride, page > 0);
  }
}

void Tile::attend(int at, int rows, float* states) const {
  const float* q = query.q + static_cast<size_t>(at) * query.dim;
  split_queries(q, rows, query.dim, plan.queries);
  score(rows);
  const bool capped = query.softcap > 0;
  float* partial = plan.partials + 14;
  for (int r = 0; r < rows; ++r) {
    float* scores = plan.scores + r * kScoreStride;
    if (capped) {
      cap_scores(scores, query.scale, query.softcap);
    }
    soften(
        scores,
        capped ? 1.0f : query.scale,
        partial + static_cast<size_t>(r) * plan.row_floats);
  }
  weigh(rows, partial + 2);
  avx512_kernels()->merge(
      states + static_cast<size_t>(at) * (query.dim + 2),
      partial,
      plan.row_floats,
      rows,
      query.dim);
}

void attend_whole(
    const TileQuery& query,
    const TilePages<uint16_t>& pages,
    float* memory,
    float* states) {
  const Plan plan = plan_of(query.dim, memory);
  const Tile tile = {query, pages, plan, query.rows <= kMostRows};
  for (int number = 0; !tile.once && number < 2 * kTilePages; ++number) {
    tile.split(number);
  }
  shape_tiles(query.rows < kTileRows ? query.rows : kTileRows);
  for (int at = 0; at < query.rows; at += kMostRows) {
    const int left = query.rows - at;
    tile.attend(at, left < kMostRows ? left : kMostRows, states);
  }
  _tile_release();
}

bool sees_all(const KeyRange& seen) {
  return seen.first == 0 && seen.last == kTileKeys;
}

// Queries that see a part of the tile meet it in float32, whoever is beside
// them: a step with few keys behind it would only wait for the tiles.
void attend_halves(
    const TileQuery& query,
    const TilePages<uint16_t>& pages,
    float* memory,
    float* states) {
  for (int at = 0; at < query.rows;) {
    const bool whole = sees_all(query.ranges[at]);
    TileQuery some = query;
    some.q += static_cast<size_t>(at) * query.dim;
    some.ranges += at;
    some.rows = 1;
    while (at + some.rows < query.rows &&
           sees_all(some.ranges[some.rows]) == whole) {
      ++some.rows;
    }
    float* to = states + static_cast<size_t>(at) * (query.dim + 2);
    (whole ? attend_whole : avx512_kernels()->attend_halves)(
        some, pages, memory, to);
    at += some.rows;
  }
}

}  // namespace

HalvesAttention amx_attention() {
  return attend_halves;
}

}  // namespace rapid

#else

namespace rapid {

HalvesAttention amx_attention() {
  return nullptr;
}

}  // namespace rapid

#endif
