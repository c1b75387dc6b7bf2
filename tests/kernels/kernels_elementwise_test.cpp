#include "kernels/elementwise.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class Elementwise : public EveryIsa {};

mx::array row(const mx::array& x, int r) {
  mx::Shape start(x.ndim(), 0);
  mx::Shape stop = x.shape();
  start[0] = r;
  stop[0] = r + 1;
  return mx::slice(x, start, stop);
}

TEST_P(Elementwise, RmsNormEqualsItsDefinition) {
  for (const int d : {1, 7, 64, 65, 576, 896}) {
    const mx::array x = Random(1).array({5, d}, 30);
    const mx::array w = Random(2).array({d}, 2);
    EXPECT_LT(
        distance(
            values(rms_norm(x, w, 1e-5f)),
            values(rms_norm_reference(x, w, 1e-5f))),
        1e-6f)
        << d;
  }
}

TEST_P(Elementwise, RmsNormOfHeads) {
  const mx::array x = Random(1).array({5, 3, 64});
  const mx::array w = Random(2).array({64});
  EXPECT_LT(
      distance(
          values(rms_norm(x, w, 1e-6f)),
          values(rms_norm_reference(x, w, 1e-6f))),
      1e-6f);
}

TEST_P(Elementwise, GatedEqualsItsDefinition) {
  for (const Activation a : {Activation::silu, Activation::gelu_tanh}) {
    for (const float scale : {0.01f, 3.0f, 200.0f}) {
      const mx::array gate = Random(3).array({3, 1537}, scale);
      const mx::array up = Random(4).array({3, 1537});
      EXPECT_LT(
          distance(
              values(gated(gate, up, a)), values(gated_reference(gate, up, a))),
          1e-6f)
          << scale;
    }
  }
}

std::vector<RopeOptions> rope_cases() {
  std::vector<RopeOptions> out(4);
  out[0] = {.dims = 64};
  out[1] = {.dims = 64, .base = 1e6f, .scale = 0.125f, .interleaved = true};
  out[2] = {.dims = 32, .base = 500.0f};
  out[3] = {.dims = 64};
  out[3].frequency_factors.assign(32, 1.0f);
  for (size_t i = 0; i < 32; ++i) {
    out[3].frequency_factors[i] += static_cast<float>(i);
  }
  return out;
}

TEST_P(Elementwise, RopeEqualsItsDefinition) {
  const mx::array at = mx::array({0, 1, 5, 63, 700, 2000}, mx::int32);
  const mx::array x = Random(5).array({6, 3, 64});
  for (const RopeOptions& o : rope_cases()) {
    EXPECT_LT(
        distance(values(rope(x, at, o)), values(rope_reference(x, at, o))),
        2e-6f);
  }
}

TEST_P(Elementwise, RopeTurnsPairsByHand) {
  const RopeOptions halves{.dims = 2, .base = 10.0f};
  const mx::array x = mx::array({1.0f, 0.0f}, {1, 1, 2});
  const std::vector<float> got =
      values(rope(x, mx::array({1}, mx::int32), halves));
  EXPECT_FLOAT_EQ(got[0], std::cos(1.0f));
  EXPECT_FLOAT_EQ(got[1], std::sin(1.0f));
}

TEST_P(Elementwise, RowsDoNotDependOnTheirNumber) {
  const int most = 129;
  const mx::array x = Random(6).array({most, 2, 100});
  const mx::array y = Random(7).array({most, 2, 100});
  const mx::array w = Random(8).array({100});
  const mx::array at = mx::arange(0, most);
  const RopeOptions o{.dims = 96};
  const auto ops =
      [&](const mx::array& a, const mx::array& b, const mx::array& positions) {
        return mx::concatenate(
            {rms_norm(a, w, 1e-5f),
             gated(a, b, Activation::silu),
             gated(a, b, Activation::gelu_tanh),
             rope(a, positions, o)},
            1);
      };
  for (const int threads : {1, 2, 3}) {
    ThreadPool::set_global_threads(threads);
    const mx::array all = ops(x, y, at);
    for (const int r : {0, 1, 17, 128}) {
      EXPECT_TRUE(same_bits(
          values(row(all, r)), values(ops(row(x, r), row(y, r), row(at, r)))));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Elementwise, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
