#include "kernels/linear.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class Linear : public EveryIsa {};

std::vector<float> rows_of(
    const std::vector<float>& all, int first, int count, int width) {
  const auto begin = all.begin() + static_cast<ptrdiff_t>(first) * width;
  return {begin, begin + static_cast<ptrdiff_t>(count) * width};
}

TEST_P(Linear, ExpandsEveryTypeBitForBit) {
  for (const Kind& kind : all_kinds()) {
    const int k = kind.step() * 3;
    const TestWeight w = make_weight(kind, 5, k, 1);
    const std::vector<float> expected = values(weight_to_float(*w.weight));
    const std::vector<int32_t> ids = {4, 0, 2, 2, 3, 1};
    const std::vector<float> got = values(embedding(
        mx::array(ids.data(), {static_cast<int>(ids.size())}), w.weight));
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_TRUE(same_bits(
          rows_of(got, static_cast<int>(i), 1, k),
          rows_of(expected, ids[i], 1, k)))
          << kind.name();
    }
  }
}

TEST_P(Linear, IdsOutsideTheTableAreNaN) {
  const TestWeight w = make_weight({TensorType::q8_0}, 4, 32, 1);
  const std::vector<float> got =
      values(embedding(mx::array({-1, 4}, mx::int32), w.weight));
  for (const float v : got) {
    EXPECT_TRUE(std::isnan(v));
  }
}

TEST_P(Linear, EqualsItsDefinition) {
  struct Shape {
    int m, n, steps;
  };
  for (const Kind& kind : all_kinds()) {
    for (const Shape s : {Shape{1, 7, 1}, {3, 9, 2}, {13, 33, 3}}) {
      const int k = s.steps * kind.step();
      const TestWeight w = make_weight(kind, s.n, k, 2);
      Random random(3);
      const mx::array x = random.array({s.m, k});
      const mx::array bias = random.array({s.n});
      EXPECT_LT(
          distance(
              values(linear(x, w.weight, bias)),
              values(linear_reference(x, w.weight, bias))),
          2e-6f)
          << kind.name() << " " << s.m << "x" << s.n << "x" << k;
    }
  }
}

TEST_P(Linear, TakesAnyWidthOfPlainTypes) {
  for (const TensorType type :
       {TensorType::f32, TensorType::f16, TensorType::bf16}) {
    for (const int k : {1, 3, 15, 17, 31, 100}) {
      const TestWeight w = make_weight({type}, 3, k, 4);
      const mx::array x = Random(5).array({4, k});
      EXPECT_LT(
          distance(
              values(linear(x, w.weight)),
              values(linear_reference(x, w.weight))),
          2e-6f)
          << k;
    }
  }
}

TEST_P(Linear, TakesStridedInputs) {
  const TestWeight w = make_weight({TensorType::q4_0}, 6, 32, 6);
  const mx::array x = Random(7).array({32, 5});
  const mx::array turned = mx::transpose(x);
  const mx::array spread =
      mx::broadcast_to(Random(8).array({1, 32}), mx::Shape{3, 32});
  for (const mx::array& input : {turned, spread}) {
    EXPECT_TRUE(same_bits(
        values(linear(input, w.weight)),
        values(linear(mx::contiguous(input), w.weight))));
  }
}

TEST_P(Linear, RejectsAWrongWidth) {
  const TestWeight w = make_weight({TensorType::q4_0}, 6, 32, 6);
  EXPECT_THROW(linear(mx::zeros({2, 64}), w.weight), std::invalid_argument);
}

// DESIGN law 3: a row's bits do not depend on the rows beside it, nor on the
// number of threads.
TEST_P(Linear, RowsDoNotDependOnTheirNumber) {
  const int most = 512;
  for (const Kind& kind : all_kinds()) {
    const int n = 37;
    const int k = kind.step() < 256 ? kind.step() * 5 : 512;
    const TestWeight w = make_weight(kind, n, k, 9);
    const mx::array x = Random(10).array({most + 1, k});
    ThreadPool::set_global_threads(1);
    std::vector<float> alone;
    for (const int r : {0, 1, 2, 4, 7, 16, 63, 128, 511}) {
      const std::vector<float> row =
          values(linear(mx::slice(x, {r, 0}, {r + 1, k}), w.weight));
      alone.insert(alone.end(), row.begin(), row.end());
    }
    int threads = 0;
    for (const int m : {2, 3, 5, 8, 17, 64, 129, 512}) {
      ThreadPool::set_global_threads(threads++ % 3 + 1);
      const std::vector<float> all =
          values(linear(mx::slice(x, {0, 0}, {m, k}), w.weight));
      int i = 0;
      for (const int r : {0, 1, 2, 4, 7, 16, 63, 128, 511}) {
        if (r < m) {
          EXPECT_TRUE(same_bits(rows_of(all, r, 1, n), rows_of(alone, i, 1, n)))
              << kind.name() << " row " << r << " of " << m;
        }
        ++i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Linear, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
