// Attention tiles of every instruction set against plain double precision,
// and DESIGN law 3: a row's bits do not depend on the rows beside it.
#include <algorithm>
#include <cmath>

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

void expect_attention(const float* got, const std::vector<double>& want) {
  EXPECT_NEAR(got[0], want[0], 2e-5);
  EXPECT_NEAR(got[1], want[1], want[1] * 2e-5);
  for (size_t i = 2; i < want.size(); ++i) {
    EXPECT_NEAR(got[i] / got[1], want[i] / want[1], 2e-5);
  }
}

struct AttentionCase {
  int group;
  int dim;
  int first;
  int last;
  float softcap;
};

constexpr AttentionCase kAttention[] = {
    {1, 64, 0, 64, 0},
    {3, 80, 5, 6, 0},
    {9, 128, 64, 127, 0},
    {8, 256, 0, 17, 30},
    {2, 33, 3, 40, 0},
    {11, 6, 1, 64, 5},
    {17, 16, 0, 33, 0}};

TEST_P(Attention, AttendEqualsSoftmax) {
  for (const AttentionCase& c : kAttention) {
    const auto q = normals(static_cast<size_t>(c.group) * c.dim, 10);
    const auto k = normals(static_cast<size_t>(c.last) * c.dim, 11);
    const auto v = normals(static_cast<size_t>(c.last) * c.dim, 12);
    const float scale = 1 / std::sqrt(static_cast<float>(c.dim));
    const TileQuery query{q.data(), c.group, c.dim, scale, c.softcap};
    const int width = c.dim + 2;
    const auto attend = kernel_table().attend;
    std::vector<float> partial(static_cast<size_t>(c.group) * width);
    attend(query, k.data(), v.data(), c.first, c.last, partial.data());
    for (int r = 0; r < c.group; ++r) {
      const float* got = &partial[r * width];
      expect_attention(got, plain_attention(query, r, k, v, c.first, c.last));
      TileQuery one = query;
      one.q = &q[r * c.dim];
      one.group = 1;
      std::vector<float> alone(width);
      attend(one, k.data(), v.data(), c.first, c.last, alone.data());
      EXPECT_TRUE(same_bits(alone.data(), got, width)) << c.dim << " " << r;
    }
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
    kernel_table().attend(query, k.data(), v.data(), 0, 64, state.data());
    for (int at = 64; at < keys; at += 64) {
      kernel_table().attend(
          query,
          k.data(),
          v.data(),
          at,
          std::min(at + 64, keys),
          partial.data());
      kernel_table().merge(state.data(), partial.data(), dim);
    }
    expect_attention(state.data(), plain_attention(query, 0, k, v, 0, keys));
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Attention, ::testing::ValuesIn(available_isas()), isa_of_test);

}  // namespace
}  // namespace rapid
