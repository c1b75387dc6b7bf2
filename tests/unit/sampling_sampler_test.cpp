#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "sampling/philox.h"
#include "sampling/sampler.h"

namespace rapid {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int32_t draw(
    const SamplingOptions& options,
    std::vector<float> logits,
    uint64_t position,
    uint64_t choice = 0) {
  Sampler sampler(options, choice, {});
  return sampler.sample(logits, position);
}

std::vector<int> histogram(
    const SamplingOptions& options, const std::vector<float>& logits, int n) {
  std::vector<int> counts(logits.size());
  for (int i = 0; i < n; ++i) {
    ++counts[draw(options, logits, i)];
  }
  return counts;
}

// Logits whose softmax is `p`.
std::vector<float> logits_of(const std::vector<double>& p) {
  std::vector<float> out;
  for (const double x : p) {
    out.push_back(static_cast<float>(std::log(x)));
  }
  return out;
}

double chi_square(
    const std::vector<int>& counts, const std::vector<double>& p, int n) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0) {
      sum += (counts[i] - n * p[i]) * (counts[i] - n * p[i]) / (n * p[i]);
    }
  }
  return sum;
}

// Known answers of the generator's authors (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(
      philox4x32({0, 0, 0, 0}, {0, 0}),
      (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32(
          {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
          {0xffffffff, 0xffffffff}),
      (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(UniformDraw, IsUniformAndDependsOnEveryArgument) {
  constexpr int kDraws = 16000;
  std::vector<int> bins(16);
  for (int i = 0; i < kDraws; ++i) {
    const float u = uniform_draw(7, 3, i);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    ++bins[static_cast<int>(u * 16)];
  }
  // 15 degrees of freedom: 37.7 is the 99.9 % point.
  EXPECT_LT(chi_square(bins, std::vector<double>(16, 1.0 / 16), kDraws), 37.7);
  const std::set<float> different = {
      uniform_draw(1, 2, 3),
      uniform_draw(2, 2, 3),
      uniform_draw(1, 3, 3),
      uniform_draw(1, 2, 4),
      uniform_draw(1ull << 40, 2, 3),
      uniform_draw(1, 1ull << 40, 3),
      uniform_draw(1, 2, 1ull << 40)};
  EXPECT_EQ(different.size(), 7u);
  EXPECT_EQ(uniform_draw(1, 2, 3), uniform_draw(1, 2, 3));
}

TEST(Sampler, GreedyTakesTheLowestIdOfATie) {
  EXPECT_EQ(draw({.temperature = 0}, {1, 5, 2, 5}, 0), 1);
  EXPECT_EQ(draw({.temperature = 0}, {kNan, -2, -1}, 0), 2);
}

TEST(Sampler, DrawsTheSoftmax) {
  const std::vector<double> p = {0.5, 0.2, 0.15, 0.1, 0.05};
  constexpr int kDraws = 20000;
  // 4 degrees of freedom: 18.5 is the 99.9 % point.
  const auto counts = histogram({.seed = 11}, logits_of(p), kDraws);
  EXPECT_LT(chi_square(counts, p, kDraws), 18.5);

  // Temperature 2 is the square root of each probability, normalised.
  std::vector<double> flat;
  double sum = 0;
  for (const double x : p) {
    flat.push_back(std::sqrt(x));
    sum += flat.back();
  }
  for (double& x : flat) {
    x /= sum;
  }
  const auto warm =
      histogram({.temperature = 2, .seed = 12}, logits_of(p), kDraws);
  EXPECT_LT(chi_square(warm, flat, kDraws), 18.5);
}

TEST(Sampler, CutsRenormalise) {
  const std::vector<double> p = {0.05, 0.5, 0.1, 0.2, 0.15};
  constexpr int kDraws = 20000;
  const auto expect = [&](const SamplingOptions& options,
                          const std::vector<double>& want) {
    const auto counts = histogram(options, logits_of(p), kDraws);
    for (size_t i = 0; i < want.size(); ++i) {
      if (want[i] == 0) {
        EXPECT_EQ(counts[i], 0) << i;
      }
    }
    EXPECT_LT(chi_square(counts, want, kDraws), 18.5);
  };
  expect({.top_k = 2, .seed = 1}, {0, 5.0 / 7, 0, 2.0 / 7, 0});
  // 0.5 + 0.2 < 0.75 <= 0.5 + 0.2 + 0.15
  expect(
      {.top_p = 0.75f, .seed = 2}, {0, 0.5 / 0.85, 0, 0.2 / 0.85, 0.15 / 0.85});
  // 0.3 * 0.5 = 0.15: just below, so that rounding does not decide.
  expect(
      {.min_p = 0.29f, .seed = 3}, {0, 0.5 / 0.85, 0, 0.2 / 0.85, 0.15 / 0.85});
  // top_p counts among what top_k left: 0.5 / 0.85 < 0.7 <= 0.7 / 0.85.
  expect({.top_p = 0.7f, .top_k = 3, .seed = 4}, {0, 5.0 / 7, 0, 2.0 / 7, 0});
  expect({.top_p = 1e-6f, .seed = 5}, {0, 1, 0, 0, 0});
}

// The partial selection against sorting everything, on a wide vocabulary.
TEST(Sampler, NucleusEqualsAFullSort) {
  std::vector<float> logits(50000);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = 20 * uniform_draw(5, 0, i) * uniform_draw(5, 1, i);
  }
  std::vector<std::pair<float, int32_t>> sorted;
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    sorted.push_back({-logits[i], static_cast<int32_t>(i)});
    total += std::exp(static_cast<double>(logits[i]));
  }
  std::sort(sorted.begin(), sorted.end());
  for (const float top_p : {0.1f, 0.5f, 0.9f, 0.99f}) {
    size_t kept = 0;
    for (double mass = 0; mass < top_p * total; ++kept) {
      mass += std::exp(-static_cast<double>(sorted[kept].first));
    }
    std::set<int32_t> nucleus;
    for (size_t i = 0; i <= kept; ++i) {  // one more: rounding at the edge
      nucleus.insert(sorted[i].second);
    }
    for (int i = 0; i < 200; ++i) {
      const int32_t id = draw({.top_p = top_p, .seed = 9}, logits, i);
      EXPECT_TRUE(nucleus.count(id)) << top_p << " " << id;
    }
  }
}

TEST(Sampler, SameSeedChoiceAndPositionGiveTheSameToken) {
  const std::vector<float> logits(1000, 0.0f);
  const SamplingOptions options{.temperature = 0.8f, .top_p = 0.9f, .seed = 5};
  int same_choice = 0;
  int other_choice = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(draw(options, logits, i), draw(options, logits, i));
    same_choice += draw(options, logits, i) == draw(options, logits, i + 1);
    other_choice += draw(options, logits, i) == draw(options, logits, i, 1);
  }
  EXPECT_LT(same_choice, 5);
  EXPECT_LT(other_choice, 5);
}

TEST(Sampler, BiasAndPenalties) {
  const SamplingOptions greedy{.temperature = 0};
  SamplingOptions biased = greedy;
  biased.logit_bias = {{2, 10.0f}, {99, 1.0f}, {-1, 1.0f}};
  EXPECT_EQ(draw(biased, {3, 2, 1}, 0), 2);

  SamplingOptions repetition = greedy;
  repetition.repetition_penalty = 2;
  const std::vector<int32_t> prompt = {0, 3};
  Sampler repeats(repetition, 0, prompt);
  std::vector<float> logits = {4, 3, -1, -2};
  EXPECT_EQ(repeats.sample(logits, 2), 1);
  EXPECT_EQ(logits, (std::vector<float>{2, 3, -1, -4}));

  SamplingOptions presence = greedy;
  presence.presence_penalty = 0.5f;
  presence.frequency_penalty = 0.25f;
  Sampler counts(presence, 0, prompt);  // the prompt does not count
  counts.accept(1);
  counts.accept(1);
  logits = {1, 2, 0};
  EXPECT_EQ(counts.sample(logits, 4), 0);
  EXPECT_EQ(logits, (std::vector<float>{1, 1, 0}));
}

// A wide row is drawn from block by block.
TEST(Sampler, DrawsFromWideRows) {
  std::vector<float> logits(20000, -kInf);
  const std::vector<size_t> ids = {3, 4096, 9000, 19999};
  const std::vector<double> p = {0.4, 0.3, 0.2, 0.1};
  for (size_t i = 0; i < ids.size(); ++i) {
    logits[ids[i]] = static_cast<float>(std::log(p[i]));
  }
  constexpr int kDraws = 20000;
  const auto all = histogram({.seed = 5}, logits, kDraws);
  std::vector<int> counts;
  int total = 0;
  for (const size_t id : ids) {
    counts.push_back(static_cast<int>(all[id]));
    total += counts.back();
  }
  EXPECT_EQ(total, kDraws);
  // 3 degrees of freedom: 16.3 is the 99.9 % point.
  EXPECT_LT(chi_square(counts, p, kDraws), 16.3);
}

TEST(Sampler, OddRows) {
  for (const float temperature : {0.0f, 1.0f}) {
    for (const float top_p : {1.0f, 0.9f}) {
      SamplingOptions options{.temperature = temperature, .top_p = top_p};
      EXPECT_EQ(draw(options, {-kInf, -kInf, -kInf}, 0), 0);
      EXPECT_EQ(draw(options, {kNan, kNan}, 0), 0);
      EXPECT_EQ(draw(options, {kNan, -kInf, -3}, 0), 2);
      EXPECT_EQ(draw(options, {1, kInf, 2, kInf}, 0), 1);
      EXPECT_EQ(draw(options, {7}, 0), 0);
      options.logit_bias = {{0, -kInf}, {1, -kInf}};
      EXPECT_EQ(draw(options, {1, 2}, 0), 1);
    }
  }
  EXPECT_EQ(draw({.temperature = 1e-30f}, {1, 2, 0}, 0), 1);
  EXPECT_EQ(draw({.temperature = 1e-30f, .top_p = 0.5f}, {1, 2, 0}, 0), 1);
  EXPECT_EQ(draw({.temperature = 1e-30f, .min_p = 0.5f}, {1, 2, 0}, 0), 1);
}

TEST(RowLogprobs, LogSoftmaxWithTheBest) {
  const auto out = row_logprobs(logits_of({0.1, 0.4, 0.1, 0.4}), 2, 3);
  EXPECT_NEAR(out.logprob, std::log(0.1), 1e-6);
  ASSERT_EQ(out.top.size(), 3u);
  EXPECT_EQ(out.top[0].id, 1);
  EXPECT_EQ(out.top[1].id, 3);
  EXPECT_EQ(out.top[2].id, 0);
  EXPECT_NEAR(out.top[0].logprob, std::log(0.4), 1e-6);
  EXPECT_TRUE(row_logprobs(logits_of({0.5, 0.5}), 0, 0).top.empty());
  EXPECT_EQ(row_logprobs(logits_of({0.5, 0.5}), 0, 20).top.size(), 2u);
}

}  // namespace
}  // namespace rapid
