#include "kernels/gated_mlp.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class GatedMlpOp : public EveryIsa {};

constexpr int kWidth = 256;

struct Made {
  std::vector<TestWeight> weights;
  std::shared_ptr<GatedMlp> mlp = std::make_shared<GatedMlp>();
};

mx::array evaluated(mx::array a) {
  a.eval();
  return a;
}

Made make(
    const Kind& gate,
    const Kind& up,
    const Kind& down,
    int inner,
    bool packed) {
  Made out;
  const auto add = [&](Linear& to, const Kind& kind, int n, int k) {
    const auto seed = static_cast<uint32_t>(out.weights.size()) + 1;
    out.weights.push_back(make_weight(kind, n, k, seed));
    to.weight = out.weights.back().weight;
    if (packed) {
      prepare(*to.weight);
    }
  };
  add(out.mlp->gate, gate, inner, kWidth);
  add(out.mlp->up, up, inner, kWidth);
  add(out.mlp->down, down, kWidth, inner);
  out.mlp->before = RmsNorm{evaluated(Random(8).array({kWidth})), 1e-5f};
  return out;
}

std::vector<Made> cases(bool packed) {
  std::vector<Made> out;
  const Kind q4{TensorType::q4_1};
  const Kind q5{TensorType::q5_0};
  const Kind k6{TensorType::q6_k};
  const Kind bf{TensorType::bf16};
  out.push_back(make(q4, q4, q4, 96, packed));
  out.push_back(make(q5, q4, k6, 256, packed));
  out.push_back(make(bf, q4, bf, 100, packed));
  out.push_back(make(q5, bf, q5, 352, packed));
  out[1].mlp->activation = Activation::gelu_tanh;
  out[1].mlp->after = RmsNorm{evaluated(Random(9).array({kWidth})), 1e-6f};
  out[2].mlp->up.bias = evaluated(Random(10).array({100}));
  out[2].mlp->gate.bias = evaluated(Random(11).array({100}));
  out[3].mlp->down.bias = evaluated(Random(12).array({kWidth}));
  return out;
}

TEST_P(GatedMlpOp, EqualsItsDefinition) {
  for (const bool packed : {false, true}) {
    for (const Made& made : cases(packed)) {
      for (const int rows : {1, 3, 50}) {
        const mx::array x = Random(3).array({rows, kWidth}, 2);
        const mx::array residual = Random(4).array({rows, kWidth});
        const float near = packed ? 5e-3f : 5e-6f;
        EXPECT_LT(
            distance(
                values(gated_mlp(x, made.mlp)),
                values(gated_mlp_reference(x, *made.mlp))),
            near);
        EXPECT_LT(
            distance(
                values(gated_mlp(x, made.mlp, residual)),
                values(gated_mlp_reference(x, *made.mlp, residual))),
            near);
      }
    }
  }
}

TEST_P(GatedMlpOp, RowsDoNotDependOnTheirNumber) {
  const int most = 150;
  const mx::array x = Random(5).array({most, kWidth}, 2);
  const auto run = [&](const Made& made, int first, int count) {
    const mx::array part = mx::slice(x, {first, 0}, {first + count, kWidth});
    return values(gated_mlp(part, made.mlp, part));
  };
  for (const bool packed : {false, true}) {
    for (const Made& made : cases(packed)) {
      ThreadPool::set_global_threads(1);
      std::vector<float> alone;
      for (int row = 0; row < most; ++row) {
        const std::vector<float> y = run(made, row, 1);
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (const int threads : {1, 2, 3}) {
        ThreadPool::set_global_threads(threads);
        for (const int count : {2, 7, 33, 70, most}) {
          const auto end = alone.begin() + std::ptrdiff_t{count} * kWidth;
          EXPECT_TRUE(same_bits(
              run(made, 0, count), std::vector<float>(alone.begin(), end)))
              << count << " rows, " << threads << " threads";
        }
      }
    }
  }
}

TEST_P(GatedMlpOp, RejectsWrongShapes) {
  const Made made = make(
      {TensorType::q4_1}, {TensorType::q4_1}, {TensorType::q4_1}, 96, true);
  EXPECT_THROW(gated_mlp(mx::zeros({2, 32}), made.mlp), std::invalid_argument);
  EXPECT_THROW(
      gated_mlp(mx::zeros({2, kWidth}), made.mlp, mx::zeros({1, kWidth})),
      std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , GatedMlpOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
