#include "kernels/rowwise_cpu.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class Rowwise : public EveryIsa {};

mx::array row_of(const mx::array& a, int row) {
  return mx::slice(a, {row, 0}, {row + 1, a.shape(1)});
}

TEST_P(Rowwise, GroupedNormEqualsItsDefinition) {
  for (const int size : {16, 20, 96}) {
    const mx::array x = Random(1).array({37, 3 * size}, 5);
    const mx::array add = Random(2).array({37, 3 * size});
    mx::array weight = Random(3).array({size}, 2);
    weight.eval();
    const RmsNorm norm{weight, 1e-5f};
    const auto whole = values(grouped_norm(x, norm, add));
    EXPECT_LT(
        distance(whole, values(grouped_norm_reference(x, norm, add))), 2e-6f);
    EXPECT_LT(
        distance(
            values(grouped_norm(x, norm)),
            values(grouped_norm_reference(x, norm))),
        2e-6f);
    for (const int row : {0, 20, 36}) {
      const auto alone =
          values(grouped_norm(row_of(x, row), norm, row_of(add, row)));
      EXPECT_TRUE(std::equal(
          alone.begin(), alone.end(), whole.begin() + row * 3 * size));
    }
  }
}

TEST_P(Rowwise, GatedColumnsEqualTheirDefinition) {
  for (const Activation kind : {Activation::silu, Activation::gelu_tanh}) {
    const mx::array gate = Random(4).array({29, 20}, 3);
    const mx::array wide = Random(5).array({29, 60}, 3);
    const auto whole = values(gated_columns(gate, wide, 20, kind));
    EXPECT_LT(
        distance(whole, values(gated_columns_reference(gate, wide, 20, kind))),
        2e-6f);
    for (const int row : {0, 13, 28}) {
      const auto alone =
          values(gated_columns(row_of(gate, row), row_of(wide, row), 20, kind));
      EXPECT_TRUE(
          std::equal(alone.begin(), alone.end(), whole.begin() + row * 20));
    }
  }
}

TEST_P(Rowwise, AboveSpreadEqualsItsDefinition) {
  const mx::array x = Random(6).array({29, 70}, 3);
  const auto whole = values(above_spread(x, 50, 0.7f));
  EXPECT_LT(
      distance(whole, values(above_spread_reference(x, 50, 0.7f))), 2e-6f);
  const auto kept = std::ranges::count_if(whole, [](float v) { return v > 0; });
  EXPECT_GT(kept, 29 * 50 / 10);
  EXPECT_LT(kept, 29 * 50 / 2);
  for (const int row : {0, 13, 28}) {
    const auto alone = values(above_spread(row_of(x, row), 50, 0.7f));
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), whole.begin() + row * 50));
  }
}

TEST_P(Rowwise, AsLongAsEqualsItsDefinition) {
  const mx::array like = Random(8).array({29, 70}, 5);
  for (const float size : {3.0f, 1e-4f}) {  // the latter is never stretched
    const mx::array x = Random(7).array({29, 70}, size);
    const auto whole = values(as_long_as(x, like));
    EXPECT_LT(distance(whole, values(as_long_as_reference(x, like))), 2e-6f);
    for (const int row : {0, 13, 28}) {
      const auto alone = values(as_long_as(row_of(x, row), row_of(like, row)));
      EXPECT_TRUE(
          std::equal(alone.begin(), alone.end(), whole.begin() + row * 70));
    }
  }
}

TEST_P(Rowwise, WrongShapesThrow) {
  const mx::array x = Random(1).array({2, 30});
  const RmsNorm norm{mx::ones({16}), 1e-5f};
  EXPECT_THROW(values(grouped_norm_cpu(x, norm, {})), std::invalid_argument);
  EXPECT_THROW(values(above_spread_cpu(x, 31, 1.0f)), std::invalid_argument);
  EXPECT_THROW(
      values(as_long_as_cpu(x, mx::ones({2, 29}))), std::invalid_argument);
  EXPECT_THROW(
      values(gated_columns_cpu(x, x, 1, Activation::silu)),
      std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , Rowwise, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
