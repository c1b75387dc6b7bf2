// What adapters add inside the fused nodes: the definition's numbers, and rows
// that do not see each other.
#include "kernels/gated_mlp.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class LowRankOp : public EveryIsa {};

constexpr int kWidth = 96;
constexpr int kInner = 96;

mx::array evaluated(mx::array a) {
  a.eval();
  return a;
}

// Of the weights, each with a rank of its own.
AdapterPtr adapter_of(
    const std::vector<const Weight*>& weights, int rank, uint32_t seed) {
  auto out = std::make_shared<Adapter>();
  for (const Weight* w : weights) {
    out->parts.emplace(
        w,
        LowRank{
            evaluated(Random(seed).array({rank, static_cast<int>(w->cols)})),
            evaluated(
                Random(seed + 1).array({rank, static_cast<int>(w->rows)}))});
    seed += 2;
    rank += 3;
  }
  return out;
}

struct Node {
  std::vector<TestWeight> weights;
  std::shared_ptr<Projection> projection = std::make_shared<Projection>();
  std::shared_ptr<GatedMlp> mlp = std::make_shared<GatedMlp>();
  std::vector<const Weight*> projected, fed;

  Linear add(const Kind& kind, int n, int k, bool packed) {
    const auto seed = static_cast<uint32_t>(weights.size()) + 1;
    weights.push_back(make_weight(kind, n, k, seed));
    if (packed) {
      prepare(*weights.back().weight);
    }
    return {weights.back().weight, evaluated(Random(seed + 50).array({n}))};
  }
};

Node make_node(const Kind& kind, bool packed, bool after) {
  Node out;
  const auto norm = [](uint32_t seed, int width) {
    return RmsNorm{evaluated(Random(seed).array({width}, 2)), 1e-5f};
  };
  for (const int n : {40, 17}) {
    out.projection->parts.push_back(out.add(kind, n, kWidth, packed));
    out.projected.push_back(out.weights.back().weight.get());
  }
  out.projection->before = norm(70, kWidth);
  out.mlp->gate = out.add(kind, kInner, kWidth, packed);
  out.mlp->up = out.add(kind, kInner, kWidth, packed);
  out.mlp->down = out.add(kind, kWidth, kInner, packed);
  for (const Linear* each : {&out.mlp->gate, &out.mlp->up, &out.mlp->down}) {
    out.fed.push_back(each->weight.get());
  }
  out.mlp->before = norm(71, kWidth);
  if (after) {
    out.projection->after = norm(72, 57);
    out.mlp->after = norm(73, kWidth);
  }
  return out;
}

struct Ran {
  std::vector<float> projected, fed;
};

Ran run(
    const Node& node, const mx::array& x, AdaptedBatch adapted, bool plain) {
  const mx::array side = Random(60).array({64, 57});
  const mx::array residual = mx::slice(side, {0, 0}, {x.shape(0), 57});
  return {
      values(
          plain ? project_reference(x, *node.projection, residual, adapted)
                : project(x, node.projection, residual, adapted)),
      values(
          plain ? gated_mlp_reference(x, *node.mlp, x, adapted)
                : gated_mlp(x, node.mlp, x, adapted))};
}

TEST_P(LowRankOp, EqualsItsDefinition) {
  for (const bool packed : {false, true}) {
    for (const bool after : {false, true}) {
      const Node node = make_node({TensorType::q5_0}, packed, after);
      const auto one = adapter_of(node.projected, 4, 80);
      const auto two = adapter_of(node.fed, 9, 90);
      for (const int rows : {1, 5, 50}) {
        const mx::array x = Random(3).array({rows, kWidth}, 2);
        std::vector<AdaptedRows> adapted = {{one, 0, (rows + 1) / 2}};
        if (rows > 2) {
          adapted.push_back({two, rows / 2 + 1, rows - rows / 2 - 2});
        }
        const Ran got = run(node, x, adapted, false);
        const Ran want = run(node, x, adapted, true);
        EXPECT_LT(distance(got.projected, want.projected), 2e-5f);
        EXPECT_LT(distance(got.fed, want.fed), packed ? 1e-2f : 2e-5f);
      }
    }
  }
}

// Rows of three adapters and of none; each as it is alone, whatever threads.
TEST_P(LowRankOp, RowsDoNotSeeEachOther) {
  for (const bool packed : {false, true}) {
    const Node node = make_node({TensorType::q4_1}, packed, packed);
    std::vector<AdapterPtr> all = {
        adapter_of(node.projected, 4, 80),
        nullptr,
        adapter_of(node.fed, 16, 90),
        adapter_of({node.projected[1], node.fed[2]}, 7, 99)};
    constexpr int kRows = 64;
    const mx::array x = evaluated(Random(3).array({kRows, kWidth}, 2));
    std::vector<AdaptedRows> adapted;
    const auto adapter_at = [&](int row) { return all[row / 5 % 4]; };
    for (int row = 0; row < kRows; row += 5) {
      if (adapter_at(row)) {
        adapted.push_back({adapter_at(row), row, std::min(5, kRows - row)});
      }
    }
    ThreadPool::set_global_threads(3);
    const mx::array whole = project(x, node.projection, std::nullopt, adapted);
    const std::vector<float> projected = values(whole);
    const std::vector<float> fed =
        values(gated_mlp(x, node.mlp, std::nullopt, adapted));
    for (int row = 0; row < kRows; row += 3) {
      ThreadPool::set_global_threads(row % 2 + 1);
      const mx::array mine = mx::slice(x, {row, 0}, {row + 1, kWidth});
      std::vector<AdaptedRows> alone;
      if (adapter_at(row)) {
        alone.push_back({adapter_at(row), 0, 1});
      }
      const auto first =
          values(project(mine, node.projection, std::nullopt, alone));
      EXPECT_TRUE(same_bits(
          first,
          {projected.begin() + row * 57, projected.begin() + (row + 1) * 57}))
          << row;
      const auto second =
          values(gated_mlp(mine, node.mlp, std::nullopt, alone));
      EXPECT_TRUE(same_bits(
          second,
          {fed.begin() + row * kWidth, fed.begin() + (row + 1) * kWidth}))
          << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , LowRankOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
