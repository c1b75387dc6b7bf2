#include "kernels/embedding.h"
#include "kernels/projection.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class EmbeddingOp : public EveryIsa {};

std::vector<float> row_of(const std::vector<float>& all, int row, int width) {
  const auto begin = all.begin() + static_cast<ptrdiff_t>(row) * width;
  return {begin, begin + width};
}

// Adding zero makes -0 to 0: panels do not keep a zero's sign.
std::vector<float> plain_zeros(std::vector<float> v) {
  for (float& x : v) {
    x += 0.0f;
  }
  return v;
}

TEST_P(EmbeddingOp, ExpandsEveryTypeBitForBit) {
  for (const Kind& kind : all_kinds()) {
    const int k = kind.step() * 3;
    const TestWeight w = make_weight(kind, 21, k, 1);
    const std::vector<float> expected = values(weight_to_float(*w.weight));
    const std::vector<int32_t> ids = {20, 0, 2, 2, 3, 16};
    const mx::array asked(ids.data(), {static_cast<int>(ids.size())});
    const std::vector<float> stored = values(embedding(asked, w.weight));
    prepare(*w.weight);
    const std::vector<float> packed = values(embedding(asked, w.weight));
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto at = static_cast<int>(i);
      const std::vector<float> want = row_of(expected, ids[i], k);
      EXPECT_TRUE(same_bits(row_of(stored, at, k), want)) << kind.name();
      EXPECT_TRUE(
          same_bits(plain_zeros(row_of(packed, at, k)), plain_zeros(want)))
          << kind.name();
    }
  }
}

TEST_P(EmbeddingOp, Scales) {
  const TestWeight w = make_weight({TensorType::q5_0}, 4, 64, 1);
  const mx::array ids({3, 1}, mx::int32);
  EXPECT_TRUE(same_bits(
      values(embedding(ids, w.weight, 25.3f)),
      values(embedding_reference(ids, w.weight, 25.3f))));
}

TEST_P(EmbeddingOp, IdsOutsideTheTableAreNaN) {
  const TestWeight w = make_weight({TensorType::q8_0}, 4, 32, 1);
  const std::vector<float> got =
      values(embedding(mx::array({-1, 4}, mx::int32), w.weight));
  for (const float v : got) {
    EXPECT_TRUE(std::isnan(v));
  }
}

INSTANTIATE_TEST_SUITE_P(
    , EmbeddingOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
