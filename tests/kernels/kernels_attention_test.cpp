#include <fmt/format.h>

#include "kernels/attention.h"
#include "kernels/coded_rows.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class AttentionOp : public EveryIsa {};

struct Case {
  int heads, kv_heads, dim;
  AttentionOptions options;
  mx::Dtype dtype = mx::float32;
  int bits = 0;
  AttentionPtr layer = nullptr;
  int form = 0;

  KvShape shape() const { return KvShape::of(kv_heads, dim, dtype, bits); }
  std::string name() const {
    return fmt::format("{}/{} x {}, {} bits", heads, kv_heads, dim, bits);
  }
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
      {6, 2, 32, {.scale = 1.0f, .source = KvSource::key}},
      {4, 2, 16, {.scale = 0.2f, .norm_last = true}},
  };
  out.push_back({14, 2, 64, {.scale = 0.125f}, mx::float16});
  out.back().options.rope = {.dims = 64};
  out.push_back({3, 3, 128, {.scale = 0.09f, .softcap = 20.0f}, mx::float16});
  for (const int bits : {8, 4}) {
    out.push_back({9, 3, 64, {.scale = 0.125f}, mx::uint8, bits});
    out.push_back({4, 1, 80, {.scale = 0.1f, .window = 70}, mx::uint8, bits});
    out.push_back({2, 2, 20, {.scale = 0.2f, .window = 5}, mx::uint8, bits});
    out.push_back({4, 4, 256, {.scale = 0.06f}, mx::uint8, bits});
    out.back().options.rope = {.dims = 256};
    out.back().options.k_norm = head_norm(256, 34);
  }
  out[0].options.rope = {.dims = 64, .interleaved = true};
  out[1].options.rope = {.dims = 16, .base = 500.0f, .scale = 0.25f};
  out[2].options.rope = {.dims = 256, .base = 1e6f, .amplitude = 1.3f};
  out[3].options.rope = {.dims = 64};
  out[3].options.rope.frequency_factors.assign(32, 3.0f);
  out[2].options.q_norm = head_norm(256, 31);
  out[2].options.k_norm = head_norm(256, 32);
  out[5].options.k_norm = head_norm(80, 33);
  out[6].options.rope = {.dims = 32};
  out[6].options.q_norm = head_norm(32, 34);
  out[6].options.k_norm = head_norm(2 * 32, 35);  // both heads together
  out[6].options.v_norm = head_norm(32, 36);
  out[7].options.rope = {.dims = 16};
  out[7].options.q_norm = head_norm(16, 37);
  out[7].options.k_norm = head_norm(16, 38);
  out[7].options.growth = 0.3f;
  out[7].options.growth_tokens = 40;
  out.push_back({6, 3, 36, {.scale = 0.2f, .gated = true}});
  out.back().options.rope = {.dims = 12};
  out.back().options.q_norm = head_norm(36, 34);
  // With sinks: small, large, and one that leaves nothing.
  for (const int window : {0, 9}) {
    out.push_back({4, 2, 32, {.scale = 0.2f, .window = window}});
    mx::array sinks({-2.0f, 1.0f, 6.0f, 200.0f});
    sinks.eval();
    out.back().options.sinks = std::move(sinks);
    out.back().options.rope = {.dims = 32};
  }
  for (Case& c : out) {
    c.options.heads = c.heads;
    c.layer = std::make_shared<const Attention>(c.options);
  }
  return out;
}

mx::array inputs(const Case& c, int tokens, uint32_t seed) {
  const int q_parts = c.options.gated ? 2 * c.heads : c.heads;
  const int columns = q_parts + kv_columns(c.options.source) * c.kv_heads;
  return Random(seed).array({tokens, columns * c.dim}, 2);
}

mx::array part(const mx::array& a, int first, int count) {
  return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
}

PageList pages_for(const Case& c) {
  PageList out;
  out.shape = c.shape();
  out.form = c.form;
  return out;
}

// Codes of what was rotated may differ by one where it lies between two.
float tolerance(const Case& c) {
  return c.bits == 4              ? 2e-2f
         : c.bits == 8            ? 2e-3f
         : c.dtype == mx::float16 ? 3e-3f
                                  : 3e-6f;
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
    const mx::array in = inputs(c, 300, 1);
    const std::vector<float> got = in_chunks(c, in, 190);
    const ScopedReference forced;
    EXPECT_LT(distance(got, in_chunks(c, in, 190)), tolerance(c)) << c.name();
  }
}

TEST_P(AttentionOp, ChunksAndThreadsDoNotMatter) {
  for (const Case& c : cases()) {
    const mx::array in = inputs(c, 530, 4);
    ThreadPool::set_global_threads(1);
    const std::vector<float> whole = in_chunks(c, in, 530);
    int threads = 0;
    for (const int step : {1, 7, 64, 129, 530}) {
      ThreadPool::set_global_threads(++threads % 3 + 1);
      EXPECT_TRUE(same_bits(whole, in_chunks(c, in, step)))
          << c.name() << " by " << step;
    }
  }
}

// Two sequences in one call, at different places, equal each of them alone;
// `other` is the second one's case.
void expect_batch_is_its_rows(const Case& c, const Case& other) {
  const mx::array a = inputs(c, 130, 7);
  const mx::array b = inputs(c, 70, 11);
  const std::vector<float> alone_a = in_chunks(c, a, 130);
  const std::vector<float> alone_b = in_chunks(other, b, 70);
  PageList first = pages_for(c);
  PageList second = pages_for(other);
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
  EXPECT_TRUE(same_bits(both(0, 129, 0, 3), expected(0, 129, 0, 3)))
      << c.name();
  // The longer one last: what threads keep must do for it, too.
  EXPECT_TRUE(same_bits(both(129, 1, 3, 67), expected(129, 1, 3, 67)))
      << c.name();
}

TEST_P(AttentionOp, ABatchEqualsItsRows) {
  for (const Case& c : cases()) {
    expect_batch_is_its_rows(c, c);
  }
}

// A rotation of two forms.
std::vector<Case> long_cases() {
  std::vector<Case> out = {
      {9, 3, 64, {.scale = 0.125f}},
      {4, 2, 64, {.scale = 0.125f}, mx::float16},
      {4, 2, 64, {.scale = 0.125f, .window = 90}, mx::uint8, 8},
      {4, 2, 64, {.scale = 0.125f}, mx::uint8, 4}};
  out[1].options.k_norm = head_norm(64, 32);
  for (Case& c : out) {
    c.options.heads = c.heads;
    c.options.rope = {.dims = 48, .amplitude = 1.2f, .border = 100};
    c.options.rope.frequency_factors.assign(24, 1.5f);
    c.options.rope.long_factors.assign(24, 4.0f);
    c.layer = std::make_shared<const Attention>(c.options);
  }
  return out;
}

TEST_P(AttentionOp, TheFormOfThePagesIsThatOfTheRotation) {
  for (Case c : long_cases()) {
    const mx::array in = inputs(c, 150, 51);
    const std::vector<float> brief = in_chunks(c, in, 90);
    c.form = 1;
    const std::vector<float> got = in_chunks(c, in, 90);
    EXPECT_GT(distance(got, brief), 2e-2f) << c.name();
    EXPECT_TRUE(same_bits(got, in_chunks(c, in, 13))) << c.name();
    Case plain = c;  // these divisors are its only ones
    plain.form = 0;
    plain.options.rope.frequency_factors.assign(24, 4.0f);
    plain.layer = std::make_shared<const Attention>(plain.options);
    EXPECT_TRUE(same_bits(got, in_chunks(plain, in, 90))) << c.name();
    const ScopedReference forced;
    EXPECT_LT(distance(got, in_chunks(c, in, 90)), tolerance(c)) << c.name();
  }
}

TEST_P(AttentionOp, ABatchMayHaveBothForms) {
  for (const Case& c : long_cases()) {
    Case longer = c;
    longer.form = 1;
    expect_batch_is_its_rows(c, longer);
    expect_batch_is_its_rows(longer, c);
    const auto batch = [&] {
      PageList first = pages_for(longer);
      PageList second = pages_for(c);
      first.prepare_append(20);
      second.prepare_append(30);
      const std::vector<AttentionRows> rows = {
          {&first, 0, 20}, {&second, 20, 30}};
      return values(attention(inputs(c, 50, 52), c.layer, rows));
    };
    const std::vector<float> got = batch();
    const ScopedReference forced;
    EXPECT_LT(distance(got, batch()), tolerance(c)) << c.name();
  }
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

// A layer with its own queries over the keys and values of another one: what
// it would give with those as its own.
TEST_P(AttentionOp, QueriesReadAnotherLayersPages) {
  for (const int window : {0, 20}) {
    Case own = cases()[7];
    own.options.window = window;
    own.layer = std::make_shared<const Attention>(own.options);
    AttentionOptions reader = own.options;
    reader.source = KvSource::shared;
    const auto layer = std::make_shared<const Attention>(reader);
    const mx::array first = inputs(own, 150, 21);
    const mx::array second = inputs(own, 150, 22);
    const int q_width = own.heads * own.dim;
    const mx::array mixed = mx::concatenate(
        {mx::slice(second, {0, 0}, {150, q_width}),
         mx::slice(first, {0, q_width}, {150, first.shape(1)})},
        1);
    const std::vector<float> want = in_chunks(own, mixed, 150);
    for (const int step : {1, 37, 150}) {
      PageList list = pages_for(own);
      std::vector<float> got;
      for (int at = 0; at < 150; at += step) {
        const int n = std::min(step, 150 - at);
        if (window > 0) {
          list.free_before(list.length - window + 1);
        }
        list.prepare_append(n);
        const AttentionRows rows{&list, 0, n};
        values(attention(part(first, at, n), own.layer, {&rows, 1}));
        const mx::array q = mx::slice(second, {at, 0}, {at + n, q_width});
        const auto y = values(attention(q, layer, {&rows, 1}));
        EXPECT_EQ(list.length, at + n);
        got.insert(got.end(), y.begin(), y.end());
      }
      EXPECT_TRUE(same_bits(want, got)) << window << " by " << step;
    }
  }
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

// Rotation aside, the kernel writes the very bytes of the definition.
TEST_P(AttentionOp, CodesAreThoseOfTheDefinition) {
  for (Case c : cases()) {
    if (c.bits == 0) {
      continue;
    }
    c.options.rope = {};
    c.options.k_norm.reset();
    c.layer = std::make_shared<const Attention>(c.options);
    const auto page_of = [&](int first_rows) {
      const mx::array in = inputs(c, 50, 23);
      PageList list = pages_for(c);
      for (const auto& [at, n] :
           {std::pair(0, first_rows), std::pair(first_rows, 50 - first_rows)}) {
        list.prepare_append(n);
        const AttentionRows rows{&list, 0, n};
        mx::eval(attention(part(in, at, n), c.layer, {&rows, 1}));
      }
      return list.pages[0]->data;
    };
    const auto parts = [&](const mx::array& page) {
      auto out = values(coded_keys(page, c.shape()));
      const auto more = values(coded_values(page, c.shape()));
      out.insert(out.end(), more.begin(), more.end());
      return out;
    };
    const mx::array page = page_of(20);
    EXPECT_EQ(page.shape(2), static_cast<int>(c.shape().codes().bytes));
    const ScopedReference forced;
    EXPECT_TRUE(same_bits(parts(page), parts(page_of(33)))) << c.name();
  }
}

// What is read back is no further off than half a step, and the rounding of a
// group's bounds to float16.
TEST_P(AttentionOp, CodesStandForTheRow) {
  for (const int bits : {8, 4}) {
    const KvShape shape = KvShape::of(2, 80, mx::float32, bits);
    const mx::array rows = Random(41).array({kPageTokens, 2, 80}, 3);
    const CodedRows coded = code_rows(rows, shape.codes());
    const mx::array page = with_coded_rows(
        mx::zeros(page_shape(shape), mx::uint8), shape, coded, coded, 0);
    const std::vector<float> keys =
        values(mx::transpose(coded_keys(page, shape), {2, 0, 1}));
    const std::vector<float> wanted = values(rows);
    EXPECT_TRUE(same_bits(
        keys, values(mx::transpose(coded_values(page, shape), {1, 0, 2}))));
    const float step = 6.0f / static_cast<float>((1 << bits) - 1);
    EXPECT_LT(distance(keys, wanted) * largest(wanted), step / 2 + 6e-3f);
  }
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
