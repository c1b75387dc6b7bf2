// MLX's fused ops, on the CPU, against the definitions.
#include <limits>

#include "kernels/gpu_ops.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class GpuOps : public ::testing::Test {
 protected:
  void SetUp() override { mx::set_default_device(mx::Device::cpu); }
};

TEST_F(GpuOps, RmsNormEqualsItsDefinition) {
  const mx::array x = Random(1).array({5, 3, 96}, 30);
  const RmsNorm norm{Random(2).array({96}, 2), 1e-5f};
  EXPECT_LT(
      distance(
          values(fast_rms_norm(x, norm)), values(rms_norm_reference(x, norm))),
      2e-6f);
}

TEST_F(GpuOps, RopeEqualsItsDefinition) {
  std::vector<RopeOptions> cases(4);
  cases[0] = {.dims = 64};
  cases[1] = {.dims = 64, .base = 1e6f, .scale = 0.125f, .interleaved = true};
  cases[2] = {.dims = 32, .base = 500.0f, .amplitude = 1.3f};
  cases[3] = {.dims = 64, .frequency_factors = std::vector<float>(32, 3.0f)};
  const mx::array at = mx::array({0, 1, 5, 63, 700, 2000}, mx::int32);
  const mx::array x = Random(5).array({6, 3, 64});
  for (const RopeOptions& o : cases) {
    // Angles of some thousand radians keep about four digits.
    EXPECT_LT(
        distance(values(fast_rope(x, at, o)), values(rope_reference(x, at, o))),
        5e-4f)
        << o.dims << " " << o.base;
  }
}

TEST_F(GpuOps, AttentionEqualsItsDefinition) {
  const int rows = 5;
  const int length = 64;
  const mx::array q = Random(1).array({rows, 6, 32});
  const mx::array keys = Random(2).array({2, 32, length});
  const mx::array v = Random(3).array({2, length, 32});
  const mx::array at = mx::expand_dims(mx::arange(10, 10 + rows), 1);
  const mx::array seen =
      mx::less_equal(mx::expand_dims(mx::arange(0, length), 0), at);
  const mx::array grouped =
      mx::transpose(mx::reshape(q, {rows, 2, 3, 32}), {1, 2, 0, 3});
  const mx::array scores = mx::where(
      seen,
      mx::multiply(
          mx::matmul(grouped, mx::expand_dims(keys, 1)), mx::array(0.3f)),
      mx::array(-std::numeric_limits<float>::infinity()));
  const mx::array mixed =
      mx::matmul(mx::softmax(scores, -1, true), mx::expand_dims(v, 1));
  const mx::array want =
      mx::reshape(mx::transpose(mixed, {2, 0, 1, 3}), {rows, 6, 32});
  EXPECT_LT(
      distance(values(fast_attention(q, keys, v, seen, 0.3f)), values(want)),
      2e-6f);
}

}  // namespace
}  // namespace rapid::testing
