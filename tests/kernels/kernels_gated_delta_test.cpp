#include "kernels/gated_delta.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class GatedDeltaOp : public EveryIsa {};

GatedDeltaPtr layer_of(
    const GatedDeltaShape& s, const GatedDeltaLayout& layout) {
  mx::array conv = Random(21).array({s.kernel, s.channels()}, 1);
  mx::array bias = Random(22).array({s.value_heads}, 2);
  mx::array norm = Random(23).array({s.value_dim}, 2);
  mx::array decay = mx::negative(mx::abs(Random(24).array({s.value_heads}, 1)));
  mx::eval(conv, bias, norm, decay);
  return std::make_shared<const GatedDelta>(
      GatedDelta{s, layout, conv, decay, bias, RmsNorm{norm, 1e-5f}});
}

std::vector<GatedDeltaPtr> layers() {
  const GatedDeltaShape plain{2, 4, 32, 64, 4};
  const GatedDeltaShape odd{3, 3, 20, 75, 3};
  const GatedDeltaShape wide{1, 3, 128, 128, 4};
  GatedDeltaLayout tiled = GatedDeltaLayout::in_turn(plain);
  tiled.key_head = {0, 1, 0, 1};
  return {
      layer_of(plain, GatedDeltaLayout::in_turn(plain)),
      layer_of(plain, GatedDeltaLayout::by_key_head(plain)),
      layer_of(plain, tiled),
      layer_of(odd, GatedDeltaLayout::in_turn(odd)),
      layer_of(wide, GatedDeltaLayout::by_key_head(wide))};
}

std::vector<mx::array> start(const GatedDelta& layer) {
  const GatedDeltaShape& s = layer.shape;
  std::vector<mx::array> out = {
      mx::zeros({s.kernel - 1, s.channels()}),
      mx::zeros({s.value_heads, s.key_dim, s.value_dim})};
  mx::eval(out);
  return out;
}

mx::array inputs(const GatedDelta& layer, int tokens, uint32_t seed) {
  return Random(seed).array({tokens, layer.layout.width}, 2);
}

mx::array part(const mx::array& a, int first, int count) {
  return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
}

// What comes out of all rows, then the arrays behind them.
std::vector<float> in_chunks(
    const GatedDeltaPtr& layer, const mx::array& in, int step) {
  std::vector<mx::array> arrays = start(*layer);
  std::vector<float> out;
  for (int at = 0; at < in.shape(0); at += step) {
    const int n = std::min(step, in.shape(0) - at);
    const FoldRows rows{std::move(arrays), 0, n};
    Folded got = gated_delta(part(in, at, n), layer, {&rows, 1});
    const std::vector<float> y = values(got.out);
    out.insert(out.end(), y.begin(), y.end());
    arrays = std::move(got.next[0]);
  }
  for (const mx::array& array : arrays) {
    const std::vector<float> last = values(array);
    out.insert(out.end(), last.begin(), last.end());
  }
  return out;
}

TEST_P(GatedDeltaOp, EqualsItsDefinition) {
  int which = 0;
  for (const GatedDeltaPtr& layer : layers()) {
    const mx::array in = inputs(*layer, 70, 1);
    const std::vector<float> got = in_chunks(layer, in, 40);
    const ScopedReference forced;
    EXPECT_LT(distance(got, in_chunks(layer, in, 40)), 2e-5f)
        << "layer " << which++;
  }
}

TEST_P(GatedDeltaOp, ChunksAndThreadsDoNotMatter) {
  for (const GatedDeltaPtr& layer : layers()) {
    const mx::array in = inputs(*layer, 150, 4);
    ThreadPool::set_global_threads(1);
    const std::vector<float> whole = in_chunks(layer, in, 150);
    int threads = 0;
    for (const int step : {1, 2, 7, 33, 149}) {
      ThreadPool::set_global_threads(++threads % 3 + 1);
      EXPECT_TRUE(same_bits(whole, in_chunks(layer, in, step))) << step;
    }
  }
}

TEST_P(GatedDeltaOp, ABatchEqualsItsRows) {
  const GatedDeltaPtr layer = layers()[1];
  const mx::array a = inputs(*layer, 9, 7);
  const mx::array b = inputs(*layer, 5, 8);
  const auto of = [&](const mx::array& in) {
    const FoldRows rows{start(*layer), 0, in.shape(0)};
    Folded got = gated_delta(in, layer, {&rows, 1});
    std::vector<float> out = values(got.out);
    for (const mx::array& array : got.next[0]) {
      const std::vector<float> more = values(array);
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  };
  const std::vector<FoldRows> rows = {
      {start(*layer), 0, 9}, {start(*layer), 9, 5}};
  Folded both = gated_delta(mx::concatenate({a, b}, 0), layer, rows);
  const auto mine = [&](int first, int count, size_t i) {
    std::vector<float> out = values(part(both.out, first, count));
    for (const mx::array& array : both.next[i]) {
      const std::vector<float> more = values(array);
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  };
  EXPECT_TRUE(same_bits(mine(0, 9, 0), of(a)));
  EXPECT_TRUE(same_bits(mine(9, 5, 1), of(b)));
}

// A snapshot shares the arrays: a step after it must leave them as they are.
TEST_P(GatedDeltaOp, HeldArraysAreNotWritten) {
  const GatedDeltaPtr layer = layers()[0];
  const mx::array in = inputs(*layer, 6, 9);
  const FoldRows rows{start(*layer), 0, 3};
  Folded got = gated_delta(part(in, 0, 3), layer, {&rows, 1});
  mx::eval(got.out);
  const std::vector<mx::array> held = got.next[0];
  const std::vector<float> before = values(held[1]);
  const FoldRows more{held, 0, 3};
  Folded next = gated_delta(part(in, 3, 3), layer, {&more, 1});
  mx::eval(next.out);
  EXPECT_TRUE(same_bits(before, values(held[1])));
  EXPECT_FALSE(same_bits(before, values(next.next[0][1])));
}

TEST_P(GatedDeltaOp, RefusesWhatDoesNotFit) {
  const GatedDeltaPtr layer = layers()[0];
  const GatedDeltaPtr other = layers()[3];
  const FoldRows wrong{start(*other), 0, 2};
  EXPECT_THROW(
      gated_delta(inputs(*layer, 2, 1), layer, {&wrong, 1}),
      std::invalid_argument);
  const FoldRows few{start(*layer), 0, 1};
  EXPECT_THROW(
      gated_delta(inputs(*layer, 2, 1), layer, {&few, 1}),
      std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , GatedDeltaOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
