// Goldens are PyPI gguf's own results: tools/make_hub_fixtures.py.
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <vector>

#include "hub/dequantise.h"

namespace rapid {
namespace {

constexpr size_t kBlocks = 64;

class Dequantise : public testing::TestWithParam<TensorType> {};

TEST_P(Dequantise, IsBitEqualToTheReference) {
  const TensorTypeInfo& info = tensor_type_info(GetParam());
  std::ifstream in(
      std::string(RAPID_MLX_TEST_DATA "/data/hub/dequantise/") +
          std::string(info.name) + ".bin",
      std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(in), {}};
  const size_t size = kBlocks * static_cast<size_t>(info.block_bytes);
  ASSERT_EQ(file.size(), size + SHA256_DIGEST_LENGTH);
  const size_t elements = kBlocks * static_cast<size_t>(info.block_size);
  ASSERT_EQ(tensor_bytes(GetParam(), elements), size);
  std::vector<float> out(elements);
  dequantise(GetParam(), std::as_bytes(std::span(file).first(size)), out);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(
      reinterpret_cast<const unsigned char*>(out.data()),
      out.size() * sizeof(float),
      digest);
  EXPECT_EQ(std::memcmp(digest, file.data() + size, sizeof(digest)), 0)
      << info.name << " starts with " << out[0] << " " << out[1];
}

INSTANTIATE_TEST_SUITE_P(
    AllTypes,
    Dequantise,
    testing::Values(
        TensorType::f32,
        TensorType::f16,
        TensorType::bf16,
        TensorType::q4_0,
        TensorType::q4_1,
        TensorType::q5_0,
        TensorType::q5_1,
        TensorType::q8_0,
        TensorType::q2_k,
        TensorType::q3_k,
        TensorType::q4_k,
        TensorType::q5_k,
        TensorType::q6_k,
        TensorType::mxfp4),
    [](const auto& info) {
      return std::string(tensor_type_info(info.param).name);
    });

template <typename T>
void expect_by_value(TensorType type, std::vector<T> values) {
  std::vector<float> out(values.size());
  dequantise(type, std::as_bytes(std::span(values)), out);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(out[i], static_cast<float>(values[i]));
  }
}

TEST(DequantiseInteger, ConvertsByValue) {
  expect_by_value<int8_t>(TensorType::i8, {-128, 0, 127});
  expect_by_value<uint8_t>(TensorType::u8, {0, 200, 255});
  expect_by_value<uint8_t>(TensorType::boolean, {0, 1});
  expect_by_value<int16_t>(TensorType::i16, {-32768, 5});
  expect_by_value<uint16_t>(TensorType::u16, {65535, 5});
  expect_by_value<int32_t>(TensorType::i32, {-7, 1 << 30});
  expect_by_value<uint32_t>(TensorType::u32, {0xFFFFFFFFu});
  expect_by_value<int64_t>(TensorType::i64, {-(int64_t{1} << 40)});
  expect_by_value<uint64_t>(TensorType::u64, {uint64_t{1} << 63});
}

TEST(HalfToFloat, CoversEveryClass) {
  EXPECT_EQ(half_to_float(0x3C00), 1.0f);
  EXPECT_EQ(half_to_float(0xC000), -2.0f);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x83FF), -1023 * 0x1p-24f);
  EXPECT_EQ(half_to_float(0x7C00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(half_to_float(0x7E00)));
  EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
  EXPECT_EQ(bfloat_to_float(0x3F80), 1.0f);
}

}  // namespace
}  // namespace rapid
