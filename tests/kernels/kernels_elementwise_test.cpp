// The definitions themselves, against numbers worked out by hand.
#include "kernels/elementwise.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class Elementwise : public ::testing::Test {
 protected:
  void SetUp() override { mx::set_default_device(mx::Device::cpu); }
};

TEST_F(Elementwise, RmsNormByHand) {
  const mx::array x({3.0f, 4.0f}, {1, 2});
  const RmsNorm norm{mx::array({2.0f, 1.0f}), 0.5f};
  const std::vector<float> got = values(rms_norm_reference(x, norm));
  const float root = std::sqrt(12.5f + 0.5f);
  EXPECT_FLOAT_EQ(got[0], 6.0f / root);
  EXPECT_FLOAT_EQ(got[1], 4.0f / root);
}

TEST_F(Elementwise, GatesByHand) {
  const mx::array gate({1.0f, -2.0f});
  const mx::array up({3.0f, 0.5f});
  const auto silu = values(gated_reference(gate, up, Activation::silu));
  EXPECT_FLOAT_EQ(silu[0], 3.0f / (1.0f + std::exp(-1.0f)));
  EXPECT_FLOAT_EQ(silu[1], -1.0f / (1.0f + std::exp(2.0f)));
  const auto gelu = values(gated_reference(gate, up, Activation::gelu_tanh));
  EXPECT_NEAR(gelu[0], 3.0f * 0.841192f, 1e-5);
  EXPECT_NEAR(gelu[1], 0.5f * -0.0454023f, 1e-5);
}

TEST_F(Elementwise, RopeTurnsPairsByHand) {
  const mx::array at({2}, mx::int32);
  const mx::array x({1.0f, 0.0f, 0.0f, 1.0f, 7.0f}, {1, 1, 5});
  RopeOptions o{.dims = 4, .base = 100.0f};
  const auto halves = values(rope_reference(x, at, o));
  EXPECT_FLOAT_EQ(halves[0], std::cos(2.0f));
  EXPECT_FLOAT_EQ(halves[2], std::sin(2.0f));
  EXPECT_FLOAT_EQ(halves[1], -std::sin(0.2f));
  EXPECT_FLOAT_EQ(halves[3], std::cos(0.2f));
  EXPECT_FLOAT_EQ(halves[4], 7.0f);
  o.interleaved = true;
  const auto pairs = values(rope_reference(x, at, o));
  EXPECT_FLOAT_EQ(pairs[1], std::sin(2.0f));
  EXPECT_FLOAT_EQ(pairs[2], -std::sin(0.2f));
}

TEST_F(Elementwise, FrequenciesScaleAndDivide) {
  const std::vector<float> got = rope_frequencies(
      {.dims = 4,
       .base = 100.0f,
       .scale = 0.5f,
       .frequency_factors = {1.0f, 4.0f}});
  EXPECT_FLOAT_EQ(got[0], 0.5f);
  EXPECT_FLOAT_EQ(got[1], 0.1f * 0.5f / 4.0f);
}

TEST_F(Elementwise, LongerSequencesHaveTheirOwnDivisors) {
  RopeOptions o{.dims = 4, .frequency_factors = {1.0f, 4.0f}};
  EXPECT_EQ(rope_frequencies(o, 1), rope_frequencies(o));
  o.long_factors = {2.0f, 3.0f};
  o.border = 8;
  EXPECT_FLOAT_EQ(rope_frequencies(o, 1)[0], 0.5f);
  EXPECT_FLOAT_EQ(rope_frequencies(o, 1)[1], 0.01f / 3.0f);
  const mx::array at({2}, mx::int32);
  const mx::array x({1.0f, 0.0f, 0.0f, 1.0f}, {1, 1, 4});
  EXPECT_FLOAT_EQ(values(rope_reference(x, at, o))[0], std::cos(2.0f));
  EXPECT_FLOAT_EQ(values(rope_reference(x, at, o, 1))[0], std::cos(1.0f));
}

}  // namespace
}  // namespace rapid::testing
