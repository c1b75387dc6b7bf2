#include "kernels/cpu_matrix.h"
#include "kernels/projection.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class ProjectionOp : public EveryIsa {};

struct Made {
  std::vector<TestWeight> weights;
  std::shared_ptr<Projection> projection = std::make_shared<Projection>();

  mx::array run(const mx::array& x) const { return project(x, projection); }
  mx::array run(const mx::array& x, const mx::array& residual) const {
    return project(x, projection, residual);
  }
};

RmsNorm make_norm(int width, uint32_t seed) {
  mx::array weight = Random(seed).array({width}, 2);
  weight.eval();
  return {std::move(weight), 1e-5f};
}

mx::array evaluated(mx::array a) {
  a.eval();
  return a;
}

Made make(
    const std::vector<Kind>& kinds,
    const std::vector<int>& outputs,
    int inputs,
    bool packed,
    uint32_t seed = 2) {
  Made out;
  for (size_t i = 0; i < kinds.size(); ++i) {
    TestWeight w = make_weight(kinds[i], outputs[i], inputs, seed++);
    if (packed) {
      prepare(*w.weight);
    }
    out.projection->parts.push_back({w.weight, std::nullopt});
    out.weights.push_back(std::move(w));
  }
  return out;
}

std::vector<float> rows_of(
    const std::vector<float>& all, int first, int count, int width) {
  const auto begin = all.begin() + static_cast<ptrdiff_t>(first) * width;
  return {begin, begin + static_cast<ptrdiff_t>(count) * width};
}

mx::array rows_of(const mx::array& x, int first, int count) {
  return mx::slice(x, {first, 0}, {first + count, x.shape(1)});
}

TEST_P(ProjectionOp, EqualsItsDefinition) {
  struct Shape {
    int m, n, steps;
  };
  for (const Kind& kind : all_kinds()) {
    for (const Shape s :
         {Shape{1, 7, 1}, {3, 9, 2}, {13, 33, 3}, {70, 50, 1}}) {
      for (const bool packed : {false, true}) {
        const int k = s.steps * kind.step();
        const Made made = make({kind}, {s.n}, k, packed);
        made.projection->parts[0].bias = evaluated(Random(4).array({s.n}));
        const mx::array x = Random(3).array({s.m, k});
        EXPECT_LT(
            distance(
                values(made.run(x)),
                values(project_reference(x, *made.projection))),
            2e-6f)
            << kind.name() << " " << s.m << "x" << s.n << "x" << k << " packed "
            << packed;
      }
    }
  }
}

// Integer products are near those of the unrounded activations, too.
TEST_P(ProjectionOp, RoundedActivationsAreNear) {
  for (const Kind& kind : all_kinds()) {
    const int k = 512;
    const Made made = make({kind}, {40}, k, false);
    const mx::array x = Random(3).array({9, k});
    const std::vector<float> want = values(made.run(x));
    prepare(*made.weights[0].weight);
    EXPECT_LT(distance(values(made.run(x)), want), 0.01f) << kind.name();
  }
}

// Two int8 parts are as good as 15 bits.
TEST_P(ProjectionOp, FineActivationsAreNearer) {
  for (const Kind& kind : all_kinds()) {
    const int k = 512;
    const Made made = make({kind}, {40}, k, false);
    const mx::array x = Random(3).array({9, k});
    const std::vector<float> want = values(made.run(x));
    prepare(*made.weights[0].weight);
    made.projection->fine = true;
    const std::vector<float> got = values(made.run(x));
    EXPECT_LT(distance(got, want), 1e-4f) << kind.name();
    EXPECT_LT(
        distance(got, values(project_reference(x, *made.projection))), 3e-6f)
        << kind.name();
    for (const int row : {0, 4, 8}) {
      EXPECT_TRUE(same_bits(
          values(made.run(rows_of(x, row, 1))), rows_of(got, row, 1, 40)));
    }
  }
}

TEST_P(ProjectionOp, PacksWhatPanelsKnow) {
  const Made packed =
      make({{TensorType::q5_0}, {TensorType::q6_k}}, {20, 20}, 256, true);
  EXPECT_TRUE(is_packed(*packed.weights[0].weight));
  EXPECT_TRUE(is_packed(*packed.weights[1].weight));
  const Made plain = make({{TensorType::bf16}}, {20}, 256, true);
  EXPECT_FALSE(is_packed(*plain.weights[0].weight));

  TestWeight exact = make_weight({TensorType::q5_0}, 20, 64, 1);
  auto copy = std::make_shared<Weight>(*exact.weight);
  copy->exact = true;
  prepare(*copy);
  EXPECT_FALSE(is_packed(*copy));
}

// A scale code of 255 means NaN to MLX, and stays NaN.
TEST_P(ProjectionOp, KeepsMxfp4NaN) {
  const Kind kind{TensorType::u8, QuantScheme{QuantMode::mxfp4, 4, 32}};
  const Made made = make({kind}, {5}, 64, false);
  (*made.weights[0].memory[1])[2 * 3] = std::byte{255};  // row 3, first group
  prepare(*made.weights[0].weight);
  const std::vector<float> y = values(made.run(Random(1).array({1, 64})));
  EXPECT_TRUE(std::isnan(y[3]));
  EXPECT_FALSE(std::isnan(y[2]));
}

TEST_P(ProjectionOp, TakesAnyWidthOfPlainTypes) {
  for (const TensorType type :
       {TensorType::f32, TensorType::f16, TensorType::bf16}) {
    for (const int k : {1, 3, 15, 17, 31, 100}) {
      for (const int rows : {1, 4}) {
        const Made made = make({{type}}, {7}, k, true);
        const mx::array x = Random(5).array({rows, k});
        EXPECT_LT(
            distance(
                values(made.run(x)),
                values(project_reference(x, *made.projection))),
            2e-6f)
            << k;
      }
    }
  }
}

// Norms, several parts of different types, biases and the residual.
TEST_P(ProjectionOp, SurroundingsEqualTheirDefinition) {
  for (const bool packed : {false, true}) {
    for (const int rows : {1, 5, 40}) {
      const int k = 256;
      Made made = make(
          {{TensorType::q4_1}, {TensorType::bf16}, {TensorType::q6_k}},
          {48, 20, 17},
          k,
          packed);
      const int width = 48 + 20 + 17;
      made.projection->before = make_norm(k, 11);
      made.projection->parts[1].bias = evaluated(Random(12).array({20}));
      const mx::array x = Random(13).array({rows, k}, 5);
      const mx::array residual = Random(14).array({rows, width});
      // A norm that differs in the last bit may round one activation the
      // other way.
      const float near = packed ? 2e-3f : 3e-6f;
      const auto check = [&] {
        EXPECT_LT(
            distance(
                values(made.run(x)),
                values(project_reference(x, *made.projection))),
            near);
        EXPECT_LT(
            distance(
                values(made.run(x, residual)),
                values(project_reference(x, *made.projection, residual))),
            near);
      };
      check();
      made.projection->after = make_norm(width, 15);
      check();
    }
  }
}

TEST_P(ProjectionOp, TakesStridedInputs) {
  const Made made = make({{TensorType::q4_0}}, {6}, 32, true);
  const mx::array x = Random(7).array({32, 5});
  const mx::array turned = mx::transpose(x);
  const mx::array spread =
      mx::broadcast_to(Random(8).array({1, 32}), mx::Shape{3, 32});
  for (const mx::array& input : {turned, spread}) {
    EXPECT_TRUE(same_bits(
        values(made.run(input)), values(made.run(mx::contiguous(input)))));
  }
}

TEST_P(ProjectionOp, RejectsWrongShapes) {
  Made made = make({{TensorType::q4_0}}, {6}, 32, true);
  EXPECT_THROW(made.run(mx::zeros({2, 64})), std::invalid_argument);
  EXPECT_THROW(
      made.run(mx::zeros({2, 32}), mx::zeros({2, 5})), std::invalid_argument);
  made.projection->before = make_norm(31, 1);
  EXPECT_THROW(made.run(mx::zeros({2, 32})), std::invalid_argument);
}

// DESIGN law 3: a row's bits do not depend on the rows beside it, nor on the
// number of threads.
TEST_P(ProjectionOp, RowsDoNotDependOnTheirNumber) {
  const int most = 512;
  const int n = 37;
  for (const Kind& kind : all_kinds()) {
    for (const bool packed : {false, true}) {
      const int k = kind.step() < 256 ? kind.step() * 5 : 512;
      Made made = make({kind}, {n}, k, packed);
      made.projection->before = make_norm(k, 3);
      made.projection->after = make_norm(n, 4);
      const mx::array x = Random(10).array({most + 1, k});
      const std::vector<int> asked = {0, 1, 2, 4, 7, 16, 63, 128, 511};
      ThreadPool::set_global_threads(1);
      std::vector<std::vector<float>> alone;
      for (const int r : asked) {
        alone.push_back(values(made.run(rows_of(x, r, 1))));
      }
      int threads = 0;
      for (const int m : {2, 3, 5, 8, 17, 64, 129, 512}) {
        ThreadPool::set_global_threads(threads++ % 3 + 1);
        const std::vector<float> all = values(made.run(rows_of(x, 0, m)));
        for (size_t i = 0; i < asked.size() && asked[i] < m; ++i) {
          EXPECT_TRUE(same_bits(rows_of(all, asked[i], 1, n), alone[i]))
              << kind.name() << " row " << asked[i] << " of " << m;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , ProjectionOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
