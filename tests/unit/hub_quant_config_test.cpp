#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/quant_config.h"

namespace rapid {
namespace {

using testing::HasSubstr;

Result<QuantConfig> read(const char* text) {
  return QuantConfig::from_config(*parse_json(text));
}

TEST(QuantConfig, NoneGivesNothing) {
  auto config = read(R"({"model_type": "x", "quantization": null})");
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->scheme_for("lm_head"));
}

// gpt-oss as published: its experts' blocks say what they are.
TEST(QuantConfig, BlocksWithNamesOfTheirOwnAreNoScheme) {
  auto config = read(R"({"quantization_config":{"quant_method":"mxfp4"}})");
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->scheme_for("model.layers.0.mlp.experts"));
}

TEST(QuantConfig, ReadsBothKeysAndEveryMode) {
  struct Case {
    const char* text;
    QuantMode mode;
    int bits;
    int group;
  };
  for (const Case& c : {
           Case{
               R"({"quantization":{"group_size":32,"bits":3}})",
               QuantMode::affine,
               3,
               32},
           Case{
               R"({"quantization_config":{"group_size":128,"bits":8}})",
               QuantMode::affine,
               8,
               128},
           Case{
               R"({"quantization":{"mode":"mxfp4"}})", QuantMode::mxfp4, 4, 32},
           Case{
               R"({"quantization":{"group_size":32,"bits":8,"mode":"mxfp8"}})",
               QuantMode::mxfp8,
               8,
               32},
           Case{
               R"({"quantization":{"group_size":16,"bits":4,"mode":"nvfp4"}})",
               QuantMode::nvfp4,
               4,
               16},
       }) {
    auto config = read(c.text);
    ASSERT_TRUE(config) << c.text << config.error().what;
    const auto scheme = config->scheme_for("any");
    ASSERT_TRUE(scheme);
    EXPECT_EQ(scheme->mode, c.mode) << c.text;
    EXPECT_EQ(scheme->bits, c.bits) << c.text;
    EXPECT_EQ(scheme->group_size, c.group) << c.text;
  }
}

TEST(QuantConfig, OverridesOneModule) {
  auto config = read(R"({"quantization": {
    "group_size": 32, "bits": 4, "mode": "mxfp4",
    "model.layers.0.router": {"group_size": 64, "bits": 8},
    "lm_head": false, "model.norm": true}})");
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_EQ(config->scheme_for("model.layers.0.up")->mode, QuantMode::mxfp4);
  EXPECT_EQ(config->scheme_for("model.norm")->mode, QuantMode::mxfp4);
  const auto router = config->scheme_for("model.layers.0.router");
  EXPECT_EQ(router->mode, QuantMode::affine);
  EXPECT_EQ(router->bits, 8);
  EXPECT_FALSE(config->scheme_for("lm_head"));
}

TEST(QuantConfig, NamesWhatItDoesNotKnow) {
  const auto refused = [](const char* text) {
    auto config = read(text);
    if (config) {
      return std::string("it was read");
    }
    EXPECT_EQ(config.error().code, ErrorCode::unsupported);
    return config.error().what;
  };
  EXPECT_THAT(
      refused(R"({"quantization_config":{"quant_method":"gptq","bits":4}})"),
      HasSubstr("gptq"));
  EXPECT_THAT(
      refused(R"({"quantization_config":{"quant_method":"bitsandbytes"}})"),
      HasSubstr("bitsandbytes"));
  EXPECT_THAT(refused(R"({"quantization":{"bits":7}})"), HasSubstr("7 bits"));
  EXPECT_THAT(
      refused(R"({"quantization":{"bits":4,"group_size":48}})"),
      HasSubstr("groups of 48"));
  EXPECT_THAT(
      refused(R"({"quantization":{"bits":4,"l.0":{"mode":"fp3"}}})"),
      HasSubstr("mode fp3 of l.0"));
  EXPECT_THAT(
      refused(R"({"quantization":{"mode":"mxfp4","group_size":64}})"),
      HasSubstr("mxfp4 quantisation in groups of 64"));
  auto text = read(R"({"quantization":{"bits":"four"}})");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace rapid
