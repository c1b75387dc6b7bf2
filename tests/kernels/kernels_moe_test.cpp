#include "kernels/moe.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class MoeOp : public EveryIsa {};

constexpr int kWidth = 64;
constexpr int kExperts = 8;

struct Made {
  std::vector<TestWeight> weights;
  std::shared_ptr<MixtureOfExperts> moe = std::make_shared<MixtureOfExperts>();
};

mx::array evaluated(mx::array a) {
  a.eval();
  return a;
}

WeightPtr add_weight(Made& to, const Kind& kind, int n, int k) {
  const auto seed = static_cast<uint32_t>(to.weights.size()) + 1;
  to.weights.push_back(make_weight(kind, n, k, seed));
  return to.weights.back().weight;
}

// Stacked, or a weight each.
ExpertBank bank(
    Made& to, const Kind& kind, int rows, int cols, bool apart, bool packed) {
  ExpertBank out;
  out.rows = rows;
  if (apart) {
    for (int e = 0; e < kExperts; ++e) {
      out.weights.push_back(add_weight(to, kind, rows, cols));
    }
  } else {
    out.weights.push_back(add_weight(to, kind, kExperts * rows, cols));
    out.stride = rows;
  }
  if (packed) {
    prepare(out, kExperts);
  }
  return out;
}

struct Options {
  Kind kind;
  int inner = 32;
  bool apart = false;
  bool packed = false;
};

Made make(const Options& o) {
  Made out;
  MixtureOfExperts& moe = *out.moe;
  moe.experts = kExperts;
  moe.router.gate.weight = add_weight(out, {TensorType::f32}, kExperts, kWidth);
  moe.router.top_k = 3;
  moe.gate = bank(out, o.kind, o.inner, kWidth, o.apart, o.packed);
  moe.up = bank(out, o.kind, o.inner, kWidth, o.apart, o.packed);
  moe.down = bank(out, o.kind, kWidth, o.inner, o.apart, o.packed);
  moe.before = RmsNorm{evaluated(Random(8).array({kWidth})), 1e-5f};
  return out;
}

Linear linear(Made& to, const Kind& kind, int n, int k, bool packed) {
  Linear out;
  out.weight = add_weight(to, kind, n, k);
  if (packed) {
    prepare(*out.weight);
  }
  return out;
}

// gate and up in one weight, rows of the one before those of the other.
Made fused(const Kind& kind, bool packed) {
  Made out = make({kind, 32, false, packed});
  ExpertBank both;
  both.weights = {add_weight(out, kind, kExperts * 64, kWidth)};
  both.rows = 32;
  both.stride = 64;
  if (packed) {
    prepare(both, kExperts);
  }
  out.moe->gate = both;
  both.first = 32;
  out.moe->up = both;
  return out;
}

std::vector<Made> cases(bool packed) {
  const Kind q4{TensorType::q4_0};
  const Kind bf{TensorType::bf16};
  const Kind affine{TensorType::bf16, QuantScheme{QuantMode::affine, 4, 32}};
  const Kind mx4{TensorType::u8, QuantScheme{QuantMode::mxfp4, 4, 32}};
  std::vector<Made> out;
  out.push_back(make({q4, 32, false, packed}));
  out.push_back(make({affine, 96, true, packed}));
  out.push_back(make({bf, 20, true, packed}));
  out.push_back(make({mx4, 64, false, packed}));
  out.push_back(make({bf, 48, false, packed}));
  out.push_back(fused(q4, packed));
  out.push_back(make({q4, 64, false, packed}));
  {
    MixtureOfExperts& moe = *out[6].moe;
    moe.activation = {.kind = Gating::limited_silu, .limit = 0.4f};
    moe.router.score = RouterScore::sqrt_softplus;
    moe.router.correction = evaluated(Random(30).array({kExperts}));
    moe.router.renormalise = true;
  }
  {
    Router& r = out[1].moe->router;
    r.score = RouterScore::sigmoid;
    r.correction = evaluated(Random(21).array({kExperts}));
    r.groups = 4;
    r.top_groups = 2;
    r.renormalise = true;
    r.scale = 2.5f;
    SharedExpert shared;
    shared.gate = linear(out[1], affine, 64, kWidth, packed);
    shared.up = linear(out[1], affine, 64, kWidth, packed);
    shared.down = linear(out[1], affine, kWidth, 64, packed);
    shared.scale = 0.5f;
    out[1].moe->shared = std::move(shared);
  }
  {
    MixtureOfExperts& moe = *out[2].moe;
    SharedExpert shared;
    shared.up = linear(out[2], bf, 24, kWidth, packed);
    shared.down = linear(out[2], bf, kWidth, 24, packed);
    shared.up.bias = evaluated(Random(28).array({24}));
    shared.down.bias = evaluated(Random(29).array({kWidth}));
    shared.weight = linear(out[2], bf, 1, kWidth, false);
    moe.shared = std::move(shared);
    moe.gate = std::nullopt;
    moe.activation.kind = Gating::squared_relu_up;
    moe.after = RmsNorm{evaluated(Random(9).array({kWidth})), 1e-6f};
  }
  {
    MixtureOfExperts& moe = *out[3].moe;
    moe.router.score = RouterScore::softmax_of_chosen;
    moe.router.gate.bias = evaluated(Random(22).array({kExperts}));
    moe.gate->biases = evaluated(Random(23).array({kExperts, 64}));
    moe.up.biases = evaluated(Random(24).array({kExperts, 64}));
    moe.down.biases = evaluated(Random(25).array({kExperts, kWidth}));
    moe.activation = {Gating::clamped_silu, 1.5f, 0.6f};
  }
  {
    MixtureOfExperts& moe = *out[4].moe;
    moe.activation.kind = Gating::gelu_tanh;
    moe.router.score = RouterScore::softmax_of_chosen;
    moe.router.own_norm = RmsNorm{evaluated(Random(26).array({kWidth})), 1e-5f};
    moe.router.expert_scale = evaluated(Random(27).array({kExperts}));
  }
  return out;
}

TEST_P(MoeOp, EqualsItsDefinition) {
  for (const bool packed : {false, true}) {
    int index = 0;
    for (const Made& made : cases(packed)) {
      SCOPED_TRACE(index++);
      for (const int rows : {1, 3, 70}) {
        const mx::array x = Random(3).array({rows, kWidth}, 2);
        const mx::array residual = Random(4).array({rows, kWidth});
        const float near = packed ? 5e-3f : 1e-5f;
        EXPECT_LT(
            distance(
                values(mixture_of_experts(x, made.moe)),
                values(mixture_of_experts_reference(x, *made.moe))),
            near);
        EXPECT_LT(
            distance(
                values(mixture_of_experts(x, made.moe, residual)),
                values(mixture_of_experts_reference(x, *made.moe, residual))),
            near);
        // Scores of another router.
        const mx::array scores = Random(6).array({rows, kExperts}, 2);
        EXPECT_LT(
            distance(
                values(mixture_of_experts(x, made.moe, residual, scores)),
                values(mixture_of_experts_reference(
                    x, *made.moe, residual, scores))),
            near);
      }
    }
  }
}

TEST_P(MoeOp, RowsDoNotDependOnTheirNumber) {
  const int most = 600;  // more than are in work together
  const mx::array x = Random(5).array({most, kWidth}, 2);
  const auto run = [&](const Made& made, int first, int count) {
    const mx::array part = mx::slice(x, {first, 0}, {first + count, kWidth});
    return values(mixture_of_experts(part, made.moe, part));
  };
  for (const bool packed : {false, true}) {
    int index = 0;
    for (const Made& made : cases(packed)) {
      SCOPED_TRACE(index++);
      ThreadPool::set_global_threads(1);
      std::vector<float> alone;
      for (int row = 0; row < 130; ++row) {
        const std::vector<float> y = run(made, row, 1);
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (const int threads : {1, 2, 3}) {
        ThreadPool::set_global_threads(threads);
        for (const int count : {2, 7, 33, 130, most}) {
          std::vector<float> got = run(made, 0, count);
          got.resize(static_cast<size_t>(std::min(count, 130)) * kWidth);
          const std::vector<float> want(
              alone.begin(), alone.begin() + std::ssize(got));
          EXPECT_TRUE(same_bits(got, want))
              << count << " rows, " << threads << " threads";
        }
      }
    }
  }
}

// What runs on GPUs, here on the CPU.
TEST_P(MoeOp, GatheredEqualsTheDefinition) {
  int index = 0;
  for (const Made& made : cases(false)) {
    SCOPED_TRACE(index++);
    MixtureOfExperts moe = *made.moe;
    for (ExpertBank* b :
         {moe.gate ? &*moe.gate : nullptr, &moe.up, &moe.down}) {
      if (b) {
        stack_for_gpu(*b, kExperts);
      }
    }
    const mx::array x = Random(3).array({9, kWidth}, 2);
    EXPECT_LT(
        distance(
            values(mixture_of_experts_gathered(x, moe, x)),
            values(mixture_of_experts_reference(x, *made.moe, x))),
        1e-5f);
  }
}

TEST_P(MoeOp, RejectsWhatDoesNotFit) {
  const Made made = make({{TensorType::q4_0}, 32, false, true});
  EXPECT_THROW(
      mixture_of_experts(mx::zeros({2, 32}), made.moe), std::invalid_argument);
  EXPECT_THROW(
      mixture_of_experts(
          mx::zeros({2, kWidth}), made.moe, mx::zeros({1, kWidth})),
      std::invalid_argument);
  made.moe->router.top_k = 9;
  EXPECT_THROW(
      mixture_of_experts(mx::zeros({2, kWidth}), made.moe),
      std::invalid_argument);
}

// Which experts, and with what weights, worked out by hand.
TEST(Router, GroupsCorrectionAndScale) {
  Router r;
  r.score = RouterScore::sigmoid;
  r.top_k = 2;
  r.groups = 2;
  r.top_groups = 1;
  r.renormalise = true;
  r.scale = 3.0f;
  r.correction = evaluated(mx::array({0.0f, 0.0f, 0.9f, 0.0f}));
  // sigmoid: 0.5, 0.7311, 0.2689, 0.5; corrected: 0.5, 0.7311, 1.1689, 0.5.
  // The second group is better, and its weights are the uncorrected ones.
  const float logits[] = {0.0f, 1.0f, -1.0f, 0.0f};
  int chosen[2];
  float weights[2];
  choose_experts(logits, 4, r, chosen, weights);
  EXPECT_EQ(chosen[0], 2);
  EXPECT_EQ(chosen[1], 3);
  EXPECT_NEAR(weights[0], 3 * 0.26894f / 0.76894f, 1e-4);
  EXPECT_NEAR(weights[1], 3 * 0.5f / 0.76894f, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    , MoeOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
