// Attention tiles of every instruction set against plain double precision,
// and DESIGN law 3: a row's bits do not depend on the rows beside it.
#include <algorithm>
#include <cmath>

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

// Keys [kTileKeys, dim] as a tile has them: [dim, kTileKeys].
std::vector<float> by_dimension(const float* k, int count, int dim) {
  std::vector<float> out(static_cast<size_t>(kTileKeys) * dim);
  for (int j = 0; j < count; ++j) {
    for (int d = 0; d < dim; ++d) {
      out[d * kTileKeys + j] = k[j * dim + d];
    }
  }
  return out;
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

void expect_attention(const float* got, const std::vector<double>& want) {
  EXPECT_NEAR(got[0], want[0], 2e-5);
  EXPECT_NEAR(got[1], want[1], want[1] * 2e-5);
  for (size_t i = 2; i < want.size(); ++i) {
    EXPECT_NEAR(got[i] / got[1], want[i] / want[1], 2e-5);
  }
}

struct AttentionCase {
  int rows;
  int dim;
  int first;
  int last;
  float softcap;
};

constexpr AttentionCase kAttention[] = {
    {1, 64, 0, 64, 0},
    {3, 80, 5, 6, 0},
    {9, 128, 31, 64, 0},
    {8, 256, 0, 17, 30},
    {2, 33, 3, 40, 0},
    {11, 6, 1, 64, 5},
    {17, 16, 0, 33, 0}};

TEST_P(Attention, AttendEqualsSoftmax) {
  for (const AttentionCase& c : kAttention) {
    const auto q = normals(static_cast<size_t>(c.rows) * c.dim, 10);
    const auto k = normals(static_cast<size_t>(kTileKeys) * c.dim, 11);
    const auto v = normals(static_cast<size_t>(kTileKeys) * c.dim, 12);
    const std::vector<float> keys = by_dimension(k.data(), kTileKeys, c.dim);
    const float scale = 1 / std::sqrt(static_cast<float>(c.dim));
    const TileQuery query{q.data(), c.rows, c.dim, scale, c.softcap};
    const int width = c.dim + 2;
    const auto attend = kernel_table().attend;
    std::vector<float> partial(static_cast<size_t>(c.rows) * width);
    attend(query, keys.data(), v.data(), c.first, c.last, partial.data());
    for (int r = 0; r < c.rows; ++r) {
      const float* got = &partial[r * width];
      expect_attention(got, plain_attention(query, r, k, v, c.first, c.last));
      TileQuery one = query;
      one.q = &q[r * c.dim];
      one.rows = 1;
      std::vector<float> alone(width);
      attend(one, keys.data(), v.data(), c.first, c.last, alone.data());
      EXPECT_TRUE(same_bits(alone.data(), got, width)) << c.dim << " " << r;
    }
  }
}

TEST_P(Attention, HalvesAreTheExpandedTile) {
  for (const AttentionCase& c : kAttention) {
    const auto q = normals(static_cast<size_t>(c.rows) * c.dim, 20);
    const size_t size = static_cast<size_t>(kTileKeys) * c.dim;
    const auto keys = halves_of(normals(size, 21));
    const auto v = halves_of(normals(size, 22));
    const TileQuery query{q.data(), c.rows, c.dim, 0.3f, c.softcap};
    std::vector<float> want(static_cast<size_t>(c.rows) * (c.dim + 2));
    std::vector<float> got(want.size());
    kernel_table().attend(
        query,
        floats_of(keys).data(),
        floats_of(v).data(),
        c.first,
        c.last,
        want.data());
    kernel_table().attend_halves(
        query, keys.data(), v.data(), c.first, c.last, got.data());
    EXPECT_TRUE(same_bits(got.data(), want.data(), got.size())) << c.dim;
  }
}

TEST_P(Attention, MergedTilesEqualOneSoftmax) {
  for (const int dim : {5, 16, 64}) {
    const int keys = 150;
    const auto q = normals(dim, 13, 4);
    const auto k = normals(static_cast<size_t>(keys) * dim, 14);
    const auto v = normals(static_cast<size_t>(keys) * dim, 15);
    const TileQuery query{q.data(), 1, dim, 0.5f, 0};
    std::vector<float> state(dim + 2);
    std::vector<float> partial(dim + 2);
    for (int at = 0; at < keys; at += kTileKeys) {
      const int count = std::min(kTileKeys, keys - at);
      const std::vector<float> tile = by_dimension(&k[at * dim], count, dim);
      kernel_table().attend(
          query, tile.data(), &v[at * dim], 0, count, partial.data());
      if (at == 0) {
        state = partial;
      } else {
        kernel_table().merge(state.data(), partial.data(), dim);
      }
    }
    expect_attention(state.data(), plain_attention(query, 0, k, v, 0, keys));
  }
}

// Codes by the words of kv_codes.h, and tiles that equal them element by
// element; rows with equal, huge and tiny values among them.
TEST_P(Attention, CodesAreTheirDefinition) {
  for (const int bits : {8, 4}) {
    for (const int dim : {1, 20, 32, 64, 80, 256}) {
      const KvCodes shape = kv_codes(dim, bits);
      auto x = normals(static_cast<size_t>(kTileKeys) * dim, 30 + dim);
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
      for (int j = 0; j < kTileKeys; ++j) {
        std::vector<uint8_t> codes(shape.row_bytes);
        std::vector<uint16_t> scales(shape.groups);
        std::vector<uint16_t> biases(shape.groups);
        kernel_table().to_codes(
            &x[j * dim], shape, codes.data(), scales.data(), biases.data());
        for (int i = 0; i < shape.row_bytes; ++i) {
          block[j * shape.row_bytes + i] = codes[i];
          keys[i * kTileKeys + j] = codes[i];
        }
        for (int g = 0; g < shape.groups; ++g) {
          half_at(block, shape.scales_at)[j * shape.groups + g] = scales[g];
          half_at(block, shape.biases_at)[j * shape.groups + g] = biases[g];
          half_at(keys, shape.scales_at)[g * kTileKeys + j] = scales[g];
          half_at(keys, shape.biases_at)[g * kTileKeys + j] = biases[g];
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
      for (int j = 0; j < kTileKeys; ++j) {
        for (int d = 0; d < dim; ++d) {
          const float value = got[j * dim + d];
          const float bias = half_to_float(
              half_at(block, shape.biases_at)[j * shape.groups + d / 32]);
          ASSERT_NEAR(value, want[j * dim + d], 1e-6f * std::abs(bias) + 1e-9f);
          ASSERT_EQ(columns[d * kTileKeys + j], value) << dim << " " << d;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Attention, ::testing::ValuesIn(available_isas()), isa_of_test);

}  // namespace
}  // namespace rapid
