#include <bit>
#include <cmath>

#include "kernels/coded_rows.h"
#include "kernels/mixed_channels.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

constexpr int kDims[] = {20, 32, 64, 80, 96, 128, 256};

// By the matrix itself: entry (i, j) of a block is -1 to the number of bits
// that i and j have in common.
TEST(MixedChannels, AreTheMatrixTimesTheRow) {
  for (const int dim : kDims) {
    const mx::array x = Random(7).array({3, dim}, 2);
    const std::vector<float> in = values(x);
    const std::vector<float> out = values(mixed_channels(x));
    const int block = mixed_block(dim);
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t at = i % static_cast<size_t>(block);
      double sum = 0;
      for (int j = 0; j < block; ++j) {
        const int sign =
            std::popcount(at & static_cast<size_t>(j)) % 2 == 0 ? 1 : -1;
        sum += sign * in[i - at + static_cast<size_t>(j)];
      }
      EXPECT_NEAR(out[i], sum / std::sqrt(block), 1e-5) << dim << " at " << i;
    }
  }
}

TEST(MixedChannels, TheKernelIsTheDefinition) {
  for (const int dim : kDims) {
    const mx::array x = Random(8).array({dim}, 3);
    std::vector<float> row = values(x);
    mix_channels(row.data(), dim);
    EXPECT_TRUE(same_bits(row, values(mixed_channels(x)))) << dim;
    mix_channels(row.data(), dim);
    EXPECT_LT(distance(row, values(x)), 1e-6) << dim;
  }
}

// Why keys are mixed: one channel far from zero costs the others of its group
// their codes.
TEST(MixedChannels, CodesLoseLessWhereOneChannelStandsOut) {
  constexpr int kDim = 64;
  std::vector<float> keys = values(Random(9).array({kPageTokens, kDim}, 1));
  for (size_t token = 0; token < kPageTokens; ++token) {
    keys[token * kDim + 5] += 60;
  }
  const mx::array rows(keys.data(), {kPageTokens, 1, kDim}, mx::float32);
  const KvShape shape = KvShape::of(1, kDim, mx::float32, 4);
  const auto read_back = [&](const mx::array& x) {
    const CodedRows coded = code_rows(x, shape.codes());
    const mx::array page = with_coded_rows(
        mx::zeros(page_shape(shape), mx::uint8), shape, coded, coded, 0);
    return mx::transpose(coded_keys(page, shape), {2, 0, 1});
  };
  const auto error = [&](const mx::array& back) {
    return mx::sqrt(mx::mean(mx::square(mx::subtract(back, rows))))
        .item<float>();
  };
  const float plain = error(read_back(rows));
  const float mixed = error(mixed_channels(read_back(mixed_channels(rows))));
  EXPECT_LT(mixed, plain / 2);
}

}  // namespace
}  // namespace rapid::testing
