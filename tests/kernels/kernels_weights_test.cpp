// Stored weights against MLX's own arithmetic, and their GPU layouts.
#include "kernels/embedding.h"
#include "kernels/projection.h"
#include "kernels/support.h"
#include "tensor/gpu_layout.h"
#include "tensor/mlx_dequantise.h"

namespace rapid::testing {
namespace {

TEST(WeightToFloat, EqualsMlxForItsSchemes) {
  mx::set_default_device(mx::Device::cpu);
  for (const Kind& kind : packed_kinds()) {
    const TestWeight w = make_weight(kind, 6, 384, 1);
    // With the scales as float32; gpu_rows() is mx::dequantize.
    const mx::array theirs = gpu_rows(make_gpu_layout(*w.weight));
    EXPECT_EQ(theirs.dtype(), mx::float32);
    EXPECT_TRUE(same_bits(values(weight_to_float(*w.weight)), values(theirs)))
        << kind.name();
  }
}

TEST(WeightToFloat, KnowsEveryCodeOfSmallFloats) {
  EXPECT_EQ(e4m3_to_float(0x00), 0.0f);
  EXPECT_EQ(e4m3_to_float(0x01), 0x1p-9f);
  EXPECT_EQ(e4m3_to_float(0x38), 1.0f);
  EXPECT_EQ(e4m3_to_float(0x7E), 448.0f);
  EXPECT_EQ(e4m3_to_float(0xFE), -448.0f);
  EXPECT_TRUE(std::isnan(e4m3_to_float(0x7F)));
  EXPECT_EQ(e8m0_to_float(0), 0x1p-127f);
  EXPECT_EQ(e8m0_to_float(127), 1.0f);
  EXPECT_TRUE(std::isnan(e8m0_to_float(255)));
}

bool equal_values(const std::vector<float>& a, const std::vector<float>& b) {
  return a == b;  // so that +0 equals -0
}

TEST(GpuLayout, LosesNothingOfAffineBlocks) {
  mx::set_default_device(mx::Device::cpu);
  for (const TensorType type :
       {TensorType::q4_0,
        TensorType::q4_1,
        TensorType::q5_0,
        TensorType::q5_1,
        TensorType::q8_0,
        TensorType::q4_k,
        TensorType::q5_k,
        TensorType::mxfp4,
        TensorType::f32,
        TensorType::f16,
        TensorType::bf16}) {
    const TestWeight w = make_weight({type}, 7, 512, 3);
    const GpuLayout layout = make_gpu_layout(*w.weight);
    EXPECT_EQ(layout.scheme.has_value(), is_block_type(type));
    EXPECT_TRUE(equal_values(
        values(gpu_rows(layout)), values(weight_to_float(*w.weight))))
        << tensor_type_info(type).name;
    const bool k_type = type == TensorType::q4_k || type == TensorType::q5_k;
    if (layout.scheme && layout.scheme->mode == QuantMode::affine) {
      EXPECT_EQ(layout.scales->dtype(), k_type ? mx::float32 : mx::float16)
          << tensor_type_info(type).name;
    }
  }
}

TEST(GpuLayout, TakesHalfPrecisionOnlyWhereItMust) {
  mx::set_default_device(mx::Device::cpu);
  for (const TensorType type :
       {TensorType::q2_k, TensorType::q3_k, TensorType::q6_k}) {
    const TestWeight w = make_weight({type}, 3, 512, 4);
    const GpuLayout layout = make_gpu_layout(*w.weight);
    EXPECT_FALSE(layout.scheme.has_value());
    EXPECT_EQ(layout.data.dtype(), mx::float16);
    EXPECT_EQ(layout.bytes(), 3u * 512 * 2);
    EXPECT_LT(
        distance(values(gpu_rows(layout)), values(weight_to_float(*w.weight))),
        1e-3f);
  }
}

TEST(GpuLayout, WideScalesStayFloat32) {
  mx::set_default_device(mx::Device::cpu);
  TestWeight w = make_weight({TensorType::q8_0}, 1, 32, 5);
  const uint16_t large = half_bits(1000.0f);  // -128 of it is no float16
  std::memcpy(w.memory[0]->data(), &large, 2);
  const GpuLayout layout = make_gpu_layout(*w.weight);
  EXPECT_EQ(layout.biases->dtype(), mx::float32);
  EXPECT_TRUE(equal_values(
      values(gpu_rows(layout)), values(weight_to_float(*w.weight))));
}

TEST(GpuLayout, AScaleThatMlxLacksIsNotKeptAsMxfp4) {
  mx::set_default_device(mx::Device::cpu);
  TestWeight w = make_weight({TensorType::mxfp4}, 1, 32, 5);
  w.memory[0]->at(0) = std::byte{0xFF};
  const GpuLayout layout = make_gpu_layout(*w.weight);
  EXPECT_FALSE(layout.scheme.has_value());
  EXPECT_TRUE(equal_values(
      values(gpu_rows(layout)), values(weight_to_float(*w.weight))));
}

TEST(GpuLayout, MultipliesAndLooksUpLikeTheCpu) {
  mx::set_default_device(mx::Device::cpu);
  const mx::array ids = mx::array({3, 0, 3}, mx::int32);
  for (const Kind& kind : all_kinds()) {
    const TestWeight w = make_weight(kind, 8, 512, 6);
    const mx::array x = Random(7).array({2, 512});
    const GpuLayout& layout = gpu_layout(*w.weight);
    EXPECT_EQ(&layout, &gpu_layout(*w.weight));
    EXPECT_LT(
        distance(
            values(gpu_matmul(x, layout)),
            values(linear_reference(x, {w.weight}))),
        1e-3f)
        << kind.name();
    EXPECT_LT(
        distance(
            values(gpu_rows(layout, ids)), values(embedding(ids, w.weight))),
        1e-3f)
        << kind.name();
  }
}

}  // namespace
}  // namespace rapid::testing
