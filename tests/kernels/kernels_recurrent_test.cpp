// Mamba2 and gated short convolutions: kernel == definition, and any split of
// the rows gives the same bits.
#include <functional>

#include "kernels/gated_conv.h"
#include "kernels/mamba2.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

struct Op {
  std::string name;
  int width = 0;
  std::vector<mx::Shape> arrays;
  std::function<Folded(const mx::array&, std::span<const FoldRows>)> run;

  std::vector<mx::array> start() const {
    std::vector<mx::array> out;
    for (const mx::Shape& shape : arrays) {
      out.push_back(mx::zeros(shape));
    }
    mx::eval(out);
    return out;
  }
};

mx::array random(const mx::Shape& shape, uint32_t seed, float scale = 1) {
  mx::array out = Random(seed).array(shape, scale);
  out.eval();
  return out;
}

Op conv_op(int kernel, int dim, bool bias) {
  GatedConv layer{random({kernel, dim}, 1), std::nullopt};
  if (bias) {
    layer.bias = random({dim}, 2);
  }
  auto shared = std::make_shared<const GatedConv>(std::move(layer));
  return {
      "conv " + std::to_string(dim),
      3 * dim,
      {{kernel - 1, dim}},
      [shared](const mx::array& x, std::span<const FoldRows> batch) {
        return gated_conv(x, shared, batch);
      }};
}

Op mamba_op(const Mamba2Shape& s, bool bias, float dt_min) {
  mx::array decay = mx::negative(mx::abs(random({s.heads}, 3, 2)));
  decay.eval();
  Mamba2 layer{
      s,
      random({s.kernel, s.channels()}, 4),
      std::nullopt,
      decay,
      random({s.heads}, 5),
      random({s.heads}, 6),
      {random({s.inner()}, 7, 2), 1e-5f},
      dt_min,
      dt_min + 1.0f};
  if (bias) {
    layer.conv_bias = random({s.channels()}, 8);
  }
  auto shared = std::make_shared<const Mamba2>(std::move(layer));
  return {
      "mamba " + std::to_string(s.heads),
      s.width(),
      {{s.kernel - 1, s.channels()}, {s.heads, s.state_dim, s.head_dim}},
      [shared](const mx::array& x, std::span<const FoldRows> batch) {
        return mamba2(x, shared, batch);
      }};
}

std::vector<Op> ops() {
  return {
      conv_op(3, 300, false),
      conv_op(4, 32, true),
      mamba_op({4, 32, 2, 16, 4}, true, 0),
      mamba_op({6, 20, 1, 24, 3}, false, 0.5f),
      mamba_op({2, 64, 2, 128, 4}, true, 0)};
}

mx::array part(const mx::array& a, int first, int count) {
  return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
}

// The rows, then the arrays behind them.
void append(
    std::vector<float>& to,
    const mx::array& rows,
    const std::vector<mx::array>& arrays = {}) {
  std::vector<mx::array> all = {rows};
  all.insert(all.end(), arrays.begin(), arrays.end());
  for (const mx::array& array : all) {
    const std::vector<float> more = values(array);
    to.insert(to.end(), more.begin(), more.end());
  }
}

std::vector<float> in_chunks(const Op& op, const mx::array& in, int step) {
  std::vector<mx::array> arrays = op.start();
  std::vector<float> out;
  for (int at = 0; at < in.shape(0); at += step) {
    const int n = std::min(step, in.shape(0) - at);
    const FoldRows rows{std::move(arrays), 0, n};
    Folded got = op.run(part(in, at, n), {&rows, 1});
    append(out, got.out);
    arrays = std::move(got.next[0]);
  }
  append(out, mx::zeros({1}), arrays);
  return out;
}

class RecurrentOp : public EveryIsa {};

TEST_P(RecurrentOp, EqualsItsDefinition) {
  for (const Op& op : ops()) {
    const mx::array in = Random(1).array({70, op.width}, 2);
    const std::vector<float> got = in_chunks(op, in, 40);
    const ScopedReference forced;
    EXPECT_LT(distance(got, in_chunks(op, in, 40)), 2e-5f) << op.name;
  }
}

TEST_P(RecurrentOp, ChunksAndThreadsDoNotMatter) {
  for (const Op& op : ops()) {
    const mx::array in = Random(2).array({150, op.width}, 2);
    ThreadPool::set_global_threads(1);
    const std::vector<float> whole = in_chunks(op, in, 150);
    int threads = 0;
    for (const int step : {1, 2, 7, 33, 149}) {
      ThreadPool::set_global_threads(++threads % 3 + 1);
      EXPECT_TRUE(same_bits(whole, in_chunks(op, in, step)))
          << op.name << " by " << step;
    }
  }
}

TEST_P(RecurrentOp, ABatchEqualsItsRows) {
  for (const Op& op : ops()) {
    const mx::array a = Random(3).array({9, op.width}, 2);
    const mx::array b = Random(4).array({5, op.width}, 2);
    std::vector<float> alone;
    for (const mx::array& in : {a, b}) {
      const FoldRows rows{op.start(), 0, in.shape(0)};
      Folded got = op.run(in, {&rows, 1});
      append(alone, got.out, got.next[0]);
    }
    const std::vector<FoldRows> rows = {{op.start(), 0, 9}, {op.start(), 9, 5}};
    Folded both = op.run(mx::concatenate({a, b}, 0), rows);
    std::vector<float> together;
    append(together, part(both.out, 0, 9), both.next[0]);
    append(together, part(both.out, 9, 5), both.next[1]);
    EXPECT_TRUE(same_bits(alone, together)) << op.name;
  }
}

TEST_P(RecurrentOp, HeldArraysAreNotWritten) {
  for (const Op& op : ops()) {
    const mx::array in = Random(5).array({6, op.width}, 2);
    const FoldRows rows{op.start(), 0, 3};
    Folded got = op.run(part(in, 0, 3), {&rows, 1});
    mx::eval(got.out);
    const std::vector<mx::array> held = got.next[0];
    const std::vector<float> before = values(held.back());
    const FoldRows more{held, 0, 3};
    Folded next = op.run(part(in, 3, 3), {&more, 1});
    mx::eval(next.out);
    EXPECT_TRUE(same_bits(before, values(held.back()))) << op.name;
    EXPECT_FALSE(same_bits(before, values(next.next[0].back()))) << op.name;
  }
}

TEST_P(RecurrentOp, RefusesWhatDoesNotFit) {
  const std::vector<Op> all = ops();
  for (size_t i = 0; i < all.size(); ++i) {
    const Op& other = all[(i + 2) % all.size()];
    const mx::array in = Random(6).array({2, all[i].width}, 2);
    const FoldRows wrong{other.start(), 0, 2};
    EXPECT_THROW(all[i].run(in, {&wrong, 1}), std::invalid_argument);
    const FoldRows few{all[i].start(), 0, 1};
    EXPECT_THROW(all[i].run(in, {&few, 1}), std::invalid_argument);
  }
}

INSTANTIATE_TEST_SUITE_P(
    , RecurrentOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
