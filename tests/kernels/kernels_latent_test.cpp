#include "kernels/latent.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class LatentOp : public EveryIsa {};

constexpr int kHeads = 4;
constexpr int kNope = 32;
constexpr int kRope = 8;
constexpr int kRank = 64;
constexpr int kValues = 48;
constexpr int kFirst = 5;

struct Made {
  std::vector<TestWeight> weights;
  LatentHeadsPtr heads;
};

Made make(const Kind& kind, bool apart, bool packed) {
  Made out;
  const auto bank = [&](int rows, int cols) {
    ExpertBank b;
    b.rows = rows;
    for (int h = 0; h < (apart ? kHeads : 1); ++h) {
      const auto seed = static_cast<uint32_t>(out.weights.size()) + 1;
      const int n = apart ? rows : kHeads * rows;
      out.weights.push_back(make_weight(kind, n, cols, seed));
      b.weights.push_back(out.weights.back().weight);
    }
    b.stride = apart ? 0 : rows;
    if (packed) {
      prepare(b, kHeads);
    }
    return b;
  };
  mx::array norm = Random(8).array({kRank});
  norm.eval();
  out.heads = std::make_shared<const LatentHeads>(LatentHeads{
      .heads = kHeads,
      .nope = kNope,
      .rope = kRope,
      .rank = kRank,
      .values = kValues,
      .first = kFirst,
      .absorb = bank(kRank, kNope),
      .release = bank(kValues, kRank),
      .norm = {std::move(norm), 1e-5f}});
  return out;
}

std::vector<Made> cases(bool packed) {
  std::vector<Made> out;
  out.push_back(make({TensorType::q8_0}, false, packed));
  out.push_back(make({TensorType::f32}, true, packed));
  out.push_back(make({TensorType::bf16}, false, packed));
  return out;
}

mx::array queries(int rows) {
  return Random(3).array({rows, kHeads * (kNope + kRope)}, 2);
}

mx::array latents(int rows) {
  return Random(4).array({rows, kFirst + kRank + kRope + 2}, 2);
}

mx::array attended(int rows) {
  return Random(5).array({rows, kHeads * (kRope + kRank)}, 2);
}

TEST_P(LatentOp, EqualsItsDefinition) {
  for (const bool packed : {false, true}) {
    for (const Made& made : cases(packed)) {
      for (const int rows : {1, 40}) {
        const float near = packed ? 2e-3f : 3e-6f;
        EXPECT_LT(
            distance(
                values(latent_qkv(queries(rows), latents(rows), made.heads)),
                values(latent_qkv_reference(
                    queries(rows), latents(rows), *made.heads))),
            near);
        EXPECT_LT(
            distance(
                values(latent_values(attended(rows), made.heads)),
                values(latent_values_reference(attended(rows), *made.heads))),
            near);
      }
    }
  }
}

TEST_P(LatentOp, RowsDoNotDependOnTheirNumber) {
  const int most = 100;
  const auto first_rows = [](const mx::array& a, int first, int count) {
    return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
  };
  const auto run = [&](const Made& made, int first, int count) {
    std::vector<float> out = values(latent_qkv(
        first_rows(queries(most), first, count),
        first_rows(latents(most), first, count),
        made.heads));
    const std::vector<float> back = values(
        latent_values(first_rows(attended(most), first, count), made.heads));
    return std::pair(out, back);
  };
  for (const bool packed : {false, true}) {
    for (const Made& made : cases(packed)) {
      ThreadPool::set_global_threads(1);
      std::pair<std::vector<float>, std::vector<float>> alone;
      for (int row = 0; row < most; ++row) {
        const auto [qkv, back] = run(made, row, 1);
        alone.first.insert(alone.first.end(), qkv.begin(), qkv.end());
        alone.second.insert(alone.second.end(), back.begin(), back.end());
      }
      for (const int threads : {1, 3}) {
        ThreadPool::set_global_threads(threads);
        const auto [qkv, back] = run(made, 0, most);
        EXPECT_TRUE(same_bits(qkv, alone.first));
        EXPECT_TRUE(same_bits(back, alone.second));
      }
    }
  }
}

TEST_P(LatentOp, RejectsWrongShapes) {
  const Made made = make({TensorType::f32}, true, false);
  EXPECT_THROW(
      latent_qkv(queries(2), latents(3), made.heads), std::invalid_argument);
  EXPECT_THROW(
      latent_values(mx::zeros({2, 8}), made.heads), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , LatentOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
