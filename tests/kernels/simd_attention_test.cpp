// Attention tiles of every instruction set against plain double precision,
// and DESIGN law 3: a row's bits do not depend on the rows beside it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "hub/dequantise.h"
#include "kernels/simd_isas.h"

namespace rapid {
namespace {

class Attention : public EachIsa {};

// One query row's attention over keys [first, last): maximum, sum, values.
std::vector<double> plain_attention(
    const TileQuery& query,
    int row,
    const std::vector<float>& k,
    const std::vector<float>& v,
    int first,
    int last) {
  const int dim = query.dim;
  std::vector<double> scores;
  for (int j = first; j < last; ++j) {
    double s = 0;
    for (int d = 0; d < dim; ++d) {
      s += double(query.q[row * dim + d]) * k[j * dim + d];
    }
    s *= query.scale;
    scores.push_back(
        query.softcap > 0 ? query.softcap * std::tanh(s / query.softcap) : s);
  }
  std::vector<double> out(dim + 2, 0.0);
  out[0] = *std::max_element(scores.begin(), scores.end());
  for (int j = first; j < last; ++j) {
    const double p = std::exp(scores[j - first] - out[0]);
    out[1] += p;
    for (int d = 0; d < dim; ++d) {
      out[d + 2] += p * v[j * dim + d];
    }
  }
  return out;
}

// Keys [kTileKeys, dim] as pages have them: [dim, kPageKeys] each.
std::vector<float> by_dimension(const float* k, int count, int dim) {
  std::vector<float> out(static_cast<size_t>(kTileKeys) * dim);
  for (int j = 0; j < count; ++j) {
    for (int d = 0; d < dim; ++d) {
      const int page = j / kPageKeys;
      out[(page * dim + d) * kPageKeys + j % kPageKeys] = k[j * dim + d];
    }
  }
  return out;
}

// Pages of a tile's keys and values that lie one behind the other.
template <typename T>
TilePages<T> pages_of(const T* keys, const T* values, int dim) {
  TilePages<T> out;
  for (int page = 0; page < kTilePages; ++page) {
    out.keys[page] = keys + static_cast<size_t>(page) * kPageKeys * dim;
    out.values[page] = values + static_cast<size_t>(page) * kPageKeys * dim;
  }
  return out;
}

class Memory {
 public:
  explicit Memory(int dim) : room_(attend_floats(dim) + 16) {}
  float* get() {
    const auto at = reinterpret_cast<uintptr_t>(room_.data());
    return room_.data() + (64 - at % 64) % 64 / sizeof(float);
  }

 private:
  std::vector<float> room_;
};

// States of rows that have seen nothing.
std::vector<float> nothing_seen(int rows, int dim) {
  return std::vector<float>(
      static_cast<size_t>(rows) * (dim + 2),
      -std::numeric_limits<float>::infinity());
}

std::vector<uint16_t> halves_of(const std::vector<float>& x) {
  std::vector<uint16_t> out(x.size());
  kernel_table().to_halves(x.data(), static_cast<int>(x.size()), out.data());
  return out;
}

std::vector<float> floats_of(const std::vector<uint16_t>& x) {
  std::vector<float> out;
  for (const uint16_t h : x) {
    out.push_back(half_to_float(h));
  }
  return out;
}

void expect_attention(
    const float* got, const std::vector<double>& want, double tolerance) {
  EXPECT_NEAR(got[0], want[0], tolerance);
  EXPECT_NEAR(got[1], want[1], want[1] * tolerance);
  for (size_t i = 2; i < want.size(); ++i) {
    EXPECT_NEAR(got[i] / got[1], want[i] / want[1], tolerance);
  }
}

struct AttentionCase {
  int rows;
  int dim;
  KeyRange seen;  // of the last row; those before see one key less each
  float softcap;
  int window = kTileKeys;

  std::vector<KeyRange> ranges() const {
    std::vector<KeyRange> out;
    for (int r = 0; r < rows; ++r) {
      const int last = std::max(seen.last - (rows - 1 - r), seen.first);
      out.push_back(
          {std::max(seen.first, std::min(last, kTileKeys) - window),
           std::min(last, kTileKeys)});
    }
    return out;
  }
};

constexpr AttentionCase kAttention[] = {
    {1, 64, {0, 256}, 0},
    {7, 64, {0, 200}, 0},
    {3, 80, {5, 6}, 0},
    {9, 128, {31, 64}, 0},
    {8, 256, {0, 17}, 30},
    {2, 33, {3, 40}, 0},
    {11, 6, {1, 164}, 5},
    {17, 16, {70, 233}, 0},
    {90, 64, {0, 310}, 0},  // most see the whole tile
    {20, 80, {0, 300}, 0},
    {35, 33, {0, 400}, 7},
    {2, 128, {0, 300}, 0},
    {33, 96, {0, 140}, 0, 50},
    {70, 20, {128, 192}, 0, 5}};

struct AttentionInput {
  explicit AttentionInput(const AttentionCase& c)
      : q(normals(static_cast<size_t>(c.rows) * c.dim, 10)),
        k(normals(static_cast<size_t>(kTileKeys) * c.dim, 11)),
        v(normals(static_cast<size_t>(kTileKeys) * c.dim, 12)),
        ranges(c.ranges()),
        query{
            q.data(),
            ranges.data(),
            c.rows,
            c.dim,
            1 / std::sqrt(static_cast<float>(c.dim)),
            c.softcap} {}

  TileQuery one(int row) const {
    TileQuery out = query;
    out.q += static_cast<size_t>(row) * query.dim;
    out.ranges += row;
    out.rows = 1;
    return out;
  }

  std::vector<float> q;
  std::vector<float> k;
  std::vector<float> v;
  std::vector<KeyRange> ranges;
  TileQuery query;
};

void expect_rows(
    const AttentionInput& in,
    const std::vector<float>& k,
    const std::vector<float>& v,
    const std::vector<float>& states,
    double tolerance) {
  const int width = in.query.dim + 2;
  for (int r = 0; r < in.query.rows; ++r) {
    const KeyRange& seen = in.ranges[r];
    const float* got = &states[static_cast<size_t>(r) * width];
    if (seen.first == seen.last) {
      EXPECT_EQ(got[0], -std::numeric_limits<float>::infinity());
      continue;
    }
    expect_attention(
        got,
        plain_attention(in.query, r, k, v, seen.first, seen.last),
        tolerance);
  }
}

TEST_P(Attention, AttendEqualsSoftmax) {
  for (const AttentionCase& c : kAttention) {
    const AttentionInput in(c);
    const auto keys = by_dimension(in.k.data(), kTileKeys, c.dim);
    const auto pages = pages_of(keys.data(), in.v.data(), c.dim);
    Memory memory(c.dim);
    std::vector<float> states = nothing_seen(c.rows, c.dim);
    kernel_table().attend(in.query, pages, memory.get(), states.data());
    expect_rows(in, in.k, in.v, states, 2e-5);
    for (int r = 0; r < c.rows; ++r) {
      std::vector<float> alone = nothing_seen(1, c.dim);
      kernel_table().attend(in.one(r), pages, memory.get(), alone.data());
      const float* got = &states[static_cast<size_t>(r) * (c.dim + 2)];
      EXPECT_TRUE(same_bits(alone.data(), got, c.dim + 2)) << c.dim << " " << r;
    }
  }
}

// Where nobody looks there may be anything.
template <typename T>
void spoil(std::vector<T>& pages, bool keys, int from, int dim, T with) {
  for (int j = from; j < kTileKeys; ++j) {
    for (int d = 0; d < dim; ++d) {
      const int page = j / kPageKeys;
      const int at =
          keys ? (page * dim + d) * kPageKeys + j % kPageKeys : j * dim + d;
      pages[at] = with;
    }
  }
}

TEST_P(Attention, HalvesAreTheExpandedTile) {
  for (const AttentionCase& c : kAttention) {
    const AttentionInput in(c);
    const auto plain_keys = halves_of(in.k);
    auto keys = halves_of(by_dimension(in.k.data(), kTileKeys, c.dim));
    auto values = halves_of(in.v);
    const auto plain_values = floats_of(values);
    constexpr uint16_t kNan = 0x7E01;
    spoil(keys, true, c.seen.last, c.dim, kNan);
    spoil(values, false, c.seen.last, c.dim, kNan);
    const auto pages = pages_of(keys.data(), values.data(), c.dim);
    Memory memory(c.dim);
    std::vector<float> got = nothing_seen(c.rows, c.dim);
    kernel_table().attend_halves(in.query, pages, memory.get(), got.data());
    // Sixteen bits of mantissa where there are tiles, not rounded.
    expect_rows(in, floats_of(plain_keys), plain_values, got, 1e-4);
    if (GetParam() != Isa::amx) {
      const auto wide_keys = floats_of(keys);
      const auto wide_values = floats_of(values);
      std::vector<float> want = nothing_seen(c.rows, c.dim);
      kernel_table().attend(
          in.query,
          pages_of(wide_keys.data(), wide_values.data(), c.dim),
          memory.get(),
          want.data());
      EXPECT_TRUE(same_bits(got.data(), want.data(), got.size())) << c.dim;
    }
    for (int r = 0; r < c.rows; ++r) {
      std::vector<float> alone = nothing_seen(1, c.dim);
      kernel_table().attend_halves(
          in.one(r), pages, memory.get(), alone.data());
      const float* row = &got[static_cast<size_t>(r) * (c.dim + 2)];
      EXPECT_TRUE(same_bits(alone.data(), row, c.dim + 2)) << c.dim << " " << r;
    }
  }
}

// One tile after another into the same states equals one softmax, and so do
// their own states, merged.
TEST_P(Attention, MergedTilesEqualOneSoftmax) {
  for (const int dim : {5, 16, 64}) {
    const int keys = 600;
    const int rows = 3;
    const auto q = normals(static_cast<size_t>(rows) * dim, 13, 4);
    const auto k = normals(static_cast<size_t>(keys) * dim, 14);
    const auto v = normals(static_cast<size_t>(3 * kTileKeys) * dim, 15);
    std::vector<float> state = nothing_seen(rows, dim);
    std::vector<float> merged = nothing_seen(rows, dim);
    Memory memory(dim);
    TileQuery query{q.data(), nullptr, rows, dim, 0.5f, 0};
    for (int at = 0; at < keys; at += kTileKeys) {
      const int count = std::min(kTileKeys, keys - at);
      const std::vector<KeyRange> ranges(rows, {0, count});
      query.ranges = ranges.data();
      const std::vector<float> tile = by_dimension(&k[at * dim], count, dim);
      const auto pages = pages_of(tile.data(), &v[at * dim], dim);
      kernel_table().attend(query, pages, memory.get(), state.data());
      std::vector<float> own = nothing_seen(rows, dim);
      kernel_table().attend(query, pages, memory.get(), own.data());
      kernel_table().merge(merged.data(), own.data(), dim + 2, rows, dim);
    }
    for (int r = 0; r < rows; ++r) {
      const float* got = &state[static_cast<size_t>(r) * (dim + 2)];
      expect_attention(got, plain_attention(query, r, k, v, 0, keys), 2e-5);
    }
    EXPECT_TRUE(same_bits(state.data(), merged.data(), state.size()));
  }
}

// Codes by the words of kv_codes.h, and tiles that equal them element by
// element; rows with equal, huge and tiny values among them.
TEST_P(Attention, CodesAreTheirDefinition) {
  for (const int bits : {8, 4}) {
    for (const int dim : {1, 20, 32, 64, 80, 256}) {
      const KvCodes shape = kv_codes(dim, bits);
      auto x = normals(static_cast<size_t>(kPageKeys) * dim, 30 + dim);
      for (int d = 0; d < dim; ++d) {
        x[dim + d] = 2.5f;
        x[2 * dim + d] *= 1e4f;
        x[3 * dim + d] *= 1e-9f;
      }
      std::vector<uint8_t> keys(shape.bytes);
      std::vector<uint8_t> block(shape.bytes);
      const auto half_at = [](std::vector<uint8_t>& b, size_t at) {
        return reinterpret_cast<uint16_t*>(b.data() + at);
      };
      std::vector<float> want(x.size());
      for (int j = 0; j < kPageKeys; ++j) {
        std::vector<uint8_t> codes(shape.row_bytes);
        std::vector<uint16_t> scales(shape.groups);
        std::vector<uint16_t> biases(shape.groups);
        kernel_table().to_codes(
            &x[j * dim], shape, codes.data(), scales.data(), biases.data());
        for (int i = 0; i < shape.row_bytes; ++i) {
          block[j * shape.row_bytes + i] = codes[i];
          keys[i * kPageKeys + j] = codes[i];
        }
        for (int g = 0; g < shape.groups; ++g) {
          half_at(block, shape.scales_at)[j * shape.groups + g] = scales[g];
          half_at(block, shape.biases_at)[j * shape.groups + g] = biases[g];
          half_at(keys, shape.scales_at)[g * kPageKeys + j] = scales[g];
          half_at(keys, shape.biases_at)[g * kPageKeys + j] = biases[g];
        }
        for (int d = 0; d < dim; ++d) {
          const int g = d / 32;
          const int in = d % 32;
          const float* row = &x[j * dim];
          const auto [low, high] = std::minmax_element(
              row + g * 32, row + std::min(dim, g * 32 + 32));
          const float top = bits == 8 ? 255 : 15;
          ASSERT_EQ(scales[g], halves_of({(*high - *low) / top})[0]);
          ASSERT_EQ(biases[g], halves_of({*low})[0]);
          const float scale = half_to_float(scales[g]);
          const float bias = half_to_float(biases[g]);
          const float number = scale == 0
                                   ? 0
                                   : std::nearbyint(std::clamp(
                                         (row[d] - bias) / scale, 0.0f, top));
          const uint8_t byte =
              codes[g * shape.group_bytes + (bits == 8 ? in : in % 16)];
          const int code = bits == 8 ? byte : byte >> (in / 16 * 4) & 15;
          ASSERT_EQ(code, static_cast<int>(number)) << dim << " " << d;
          want[j * dim + d] = static_cast<float>(double(code) * scale + bias);
        }
      }
      std::vector<float> got(x.size());
      kernel_table().values_of_codes(shape, block.data(), got.data());
      std::vector<float> columns(x.size());
      kernel_table().keys_of_codes(shape, keys.data(), columns.data());
      for (int j = 0; j < kPageKeys; ++j) {
        for (int d = 0; d < dim; ++d) {
          const float value = got[j * dim + d];
          const float bias = half_to_float(
              half_at(block, shape.biases_at)[j * shape.groups + d / 32]);
          ASSERT_NEAR(value, want[j * dim + d], 1e-6f * std::abs(bias) + 1e-9f);
          ASSERT_EQ(columns[d * kPageKeys + j], value) << dim << " " << d;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Attention, ::testing::ValuesIn(available_isas()), isa_of_test);

}  // namespace
}  // namespace rapid
