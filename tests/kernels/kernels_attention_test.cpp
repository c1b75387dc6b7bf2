#include "kernels/attention.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class AttentionOp : public EveryIsa {};

struct Case {
  int heads, kv_heads, dim;
  AttentionOptions options;
  mx::Dtype dtype = mx::float32;
  AttentionPtr layer = nullptr;
};

RmsNorm head_norm(int dim, uint32_t seed) {
  mx::array weight = Random(seed).array({dim}, 2);
  weight.eval();
  return {std::move(weight), 1e-6f};
}

std::vector<Case> cases() {
  std::vector<Case> out = {
      {9, 3, 64, {.scale = 0.125f}},
      {4, 4, 32, {.scale = 0.2f, .window = 100}},
      {4, 1, 256, {.scale = 0.0625f, .window = 64}},
      {14, 2, 64, {.scale = 0.125f, .softcap = 30.0f}},
      {10, 1, 20, {.scale = 0.2f, .window = 5}},
      {6, 2, 80, {.scale = 0.1f, .window = 70}, mx::float16},
  };
  out[0].options.rope = {.dims = 64, .interleaved = true};
  out[1].options.rope = {.dims = 16, .base = 500.0f, .scale = 0.25f};
  out[2].options.rope = {.dims = 256, .base = 1e6f};
  out[3].options.rope = {.dims = 64};
  out[3].options.rope.frequency_factors.assign(32, 3.0f);
  out[2].options.q_norm = head_norm(256, 31);
  out[2].options.k_norm = head_norm(256, 32);
  out[5].options.k_norm = head_norm(80, 33);
  for (Case& c : out) {
    c.options.heads = c.heads;
    c.layer = std::make_shared<const Attention>(c.options);
  }
  return out;
}

mx::array inputs(const Case& c, int tokens, uint32_t seed) {
  return Random(seed).array({tokens, (c.heads + 2 * c.kv_heads) * c.dim}, 2);
}

mx::array part(const mx::array& a, int first, int count) {
  return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
}

PageList pages_for(const Case& c) {
  PageList out;
  out.shape = {c.kv_heads, c.dim, c.dtype};
  return out;
}

// The whole input in chunks of `step`, pages freed behind the window.
std::vector<float> in_chunks(const Case& c, const mx::array& in, int step) {
  PageList list = pages_for(c);
  std::vector<float> out;
  const int tokens = in.shape(0);
  for (int at = 0; at < tokens; at += step) {
    const int n = std::min(step, tokens - at);
    if (c.options.window > 0) {
      list.free_before(list.length - c.options.window + 1);
    }
    list.prepare_append(n);
    const AttentionRows rows{&list, 0, n};
    const std::vector<float> y =
        values(attention(part(in, at, n), c.layer, {&rows, 1}));
    out.insert(out.end(), y.begin(), y.end());
  }
  return out;
}

TEST_P(AttentionOp, EqualsItsDefinition) {
  for (const Case& c : cases()) {
    const mx::array in = inputs(c, 150, 1);
    const std::vector<float> got = in_chunks(c, in, 90);
    const ScopedReference forced;
    EXPECT_LT(
        distance(got, in_chunks(c, in, 90)),
        c.dtype == mx::float16 ? 3e-3f : 3e-6f)
        << c.heads << "/" << c.kv_heads << " x " << c.dim;
  }
}

TEST_P(AttentionOp, ChunksAndThreadsDoNotMatter) {
  for (const Case& c : cases()) {
    const mx::array in = inputs(c, 300, 4);
    ThreadPool::set_global_threads(1);
    const std::vector<float> whole = in_chunks(c, in, 300);
    int threads = 0;
    for (const int step : {1, 7, 64, 129, 300}) {
      ThreadPool::set_global_threads(++threads % 3 + 1);
      EXPECT_TRUE(same_bits(whole, in_chunks(c, in, step)))
          << c.heads << "/" << c.kv_heads << " x " << c.dim << " by " << step;
    }
  }
}

// Two sequences in one call, at different places, equal each of them alone.
TEST_P(AttentionOp, ABatchEqualsItsRows) {
  const Case c = cases()[0];
  const mx::array a = inputs(c, 130, 7);
  const mx::array b = inputs(c, 70, 11);
  const std::vector<float> alone_a = in_chunks(c, a, 130);
  const std::vector<float> alone_b = in_chunks(c, b, 70);
  PageList first = pages_for(c);
  PageList second = pages_for(c);
  const auto both = [&](int a_at, int a_n, int b_at, int b_n) {
    first.prepare_append(a_n);
    second.prepare_append(b_n);
    const std::vector<AttentionRows> rows = {
        {&first, 0, a_n}, {&second, a_n, b_n}};
    const mx::array joined =
        mx::concatenate({part(a, a_at, a_n), part(b, b_at, b_n)}, 0);
    return values(attention(joined, c.layer, rows));
  };
  const auto expected = [&](int a_at, int a_n, int b_at, int b_n) {
    const int width = c.heads * c.dim;
    std::vector<float> out(
        alone_a.begin() + a_at * width, alone_a.begin() + (a_at + a_n) * width);
    out.insert(
        out.end(),
        alone_b.begin() + b_at * width,
        alone_b.begin() + (b_at + b_n) * width);
    return out;
  };
  EXPECT_TRUE(same_bits(both(0, 129, 0, 3), expected(0, 129, 0, 3)));
  EXPECT_TRUE(same_bits(both(129, 1, 3, 67), expected(129, 1, 3, 67)));
}

// A graph of several steps may be built before anything is evaluated.
TEST_P(AttentionOp, LengthsAreThoseOfBuildTime) {
  const Case c = cases()[0];
  const mx::array in = inputs(c, 100, 13);
  const std::vector<float> whole = in_chunks(c, in, 100);
  PageList list = pages_for(c);
  list.prepare_append(100);
  const AttentionRows first{&list, 0, 60};
  const AttentionRows second{&list, 0, 40};
  const mx::array a = attention(part(in, 0, 60), c.layer, {&first, 1});
  EXPECT_EQ(list.length, 60);
  // The second step must run after the first: it depends on it.
  const mx::array zero = mx::multiply(mx::sum(a), mx::array(0.0f));
  const mx::array b =
      attention(mx::add(part(in, 60, 40), zero), c.layer, {&second, 1});
  EXPECT_EQ(list.length, 100);
  EXPECT_TRUE(same_bits(whole, values(mx::concatenate({a, b}, 0))));
}

TEST_P(AttentionOp, SharedPagesAreNotWritten) {
  const Case c = cases()[0];
  const mx::array in = inputs(c, 80, 17);
  PageList list = pages_for(c);
  list.prepare_append(70);
  const AttentionRows rows{&list, 0, 70};
  values(attention(part(in, 0, 70), c.layer, {&rows, 1}));
  const PageList kept = list;
  const std::vector<float> before = values(kept.pages[1]->data);
  list.prepare_append(10);
  EXPECT_EQ(list.pages[0], kept.pages[0]);
  EXPECT_NE(list.pages[1], kept.pages[1]);
  const AttentionRows more{&list, 0, 10};
  values(attention(part(in, 70, 10), c.layer, {&more, 1}));
  EXPECT_TRUE(same_bits(before, values(kept.pages[1]->data)));
  EXPECT_FALSE(same_bits(before, values(list.pages[1]->data)));
}

TEST_P(AttentionOp, RefusesPagesWithoutRoom) {
  const Case c = cases()[0];
  const mx::array in = inputs(c, 2, 19);
  PageList list = pages_for(c);
  const AttentionRows rows{&list, 0, 2};
  EXPECT_THROW(attention(in, c.layer, {&rows, 1}), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , AttentionOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
