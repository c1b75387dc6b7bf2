// convert_model against MLX-LM's converter: the same tensors, byte for byte,
// and the same "quantization" object (tools/make_convert_goldens.py).
#include <gmock/gmock.h>

#include "base/json.h"
#include "engine/convert.h"
#include "hub/file_writer.h"
#include "hub/model_files.h"
#include "hub/safetensors.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

using testing::HasSubstr;

std::string fixture(const std::string& name) {
  return std::string(RAPID_MLX_TEST_DATA) + "/parity/fixtures/" + name;
}

Json goldens() {
  const std::string path =
      std::string(RAPID_MLX_TEST_DATA) + "/data/convert_goldens.json";
  auto json = parse_json(test::read_all(path));
  if (!json) {
    ADD_FAILURE() << json.error().what;
    return Json::array();
  }
  return *json;
}

// The same whatever the order of keys.
nlohmann::json sorted(const Json& value) {
  return nlohmann::json::parse(value.dump());
}

std::map<std::string, std::string> hashes(const std::string& folder) {
  std::map<std::string, std::string> out;
  auto tensors = open_safetensors_folder(folder);
  if (!tensors) {
    ADD_FAILURE() << tensors.error().what;
    return out;
  }
  for (const TensorView& tensor : *tensors) {
    Sha256 hash;
    hash.update(tensor.bytes);
    out[tensor.name] = hash.hex();
  }
  return out;
}

ConvertOptions options_of(const Json& golden, const std::string& to) {
  ConvertOptions out;
  out.from = fixture(golden["fixture"].get<std::string>());
  out.to = to;
  out.mode = golden.value("mode", "affine");
  out.quantise = golden.contains("mode");
  out.bits = golden.value("bits", 0);
  out.group_size = golden.value("group_size", 0);
  out.predicate = golden.value("predicate", "");
  return out;
}

TEST(Convert, EqualsMlxLm) {
  const Json all = goldens();
  EXPECT_GE(all.size(), 23u);
  for (const Json& golden : all) {
    SCOPED_TRACE(
        golden["fixture"].dump() + " " + golden.value("mode", "plain"));
    const test::TempFolder scratch;
    const std::string to = (scratch.path() / "out").string();
    const auto done = convert_model(options_of(golden, to));
    ASSERT_TRUE(done) << done.error().what;
    EXPECT_EQ(done->shards, 1);
    const auto want =
        golden["tensors"].get<std::map<std::string, std::string>>();
    EXPECT_EQ(done->tensors, want.size());
    EXPECT_EQ(hashes(to), want);
    const auto config = parse_json(test::read_all(to + "/config.json"));
    ASSERT_TRUE(config);
    const Json made = config->value("quantization", Json());
    EXPECT_EQ(sorted(made), sorted(golden["quantization"]));
    EXPECT_EQ(made, config->value("quantization_config", Json()));
    EXPECT_TRUE(ModelFiles::open(to));
  }
}

TEST(Convert, ShardsHoldTheSameTensors) {
  const test::TempFolder scratch;
  ConvertOptions options;
  options.from = fixture("qwen2_bf16");
  options.to = (scratch.path() / "one").string();
  options.group_size = 32;
  ASSERT_TRUE(convert_model(options));
  const auto one = hashes(options.to);
  options.to = (scratch.path() / "many").string();
  options.shard_bytes = 4000;
  const auto done = convert_model(options);
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_GT(done->shards, 2);
  EXPECT_EQ(hashes(options.to), one);
  const auto index =
      parse_json(test::read_all(options.to + "/model.safetensors.index.json"));
  ASSERT_TRUE(index);
  EXPECT_EQ((*index)["metadata"]["total_size"], done->bytes);
  EXPECT_EQ((*index)["weight_map"].size(), one.size());
}

TEST(Convert, PlainCastsOnly) {
  const test::TempFolder scratch;
  ConvertOptions options;
  options.from = fixture("llama_f32");
  options.to = (scratch.path() / "out").string();
  options.quantise = false;
  options.dtype = "float16";
  ASSERT_TRUE(convert_model(options));
  const auto files = ModelFiles::open(options.to);
  ASSERT_TRUE(files);
  EXPECT_FALSE((*files)->config.contains("quantization"));
  for (const TensorView& tensor : (*files)->tensors) {
    EXPECT_EQ(tensor.type, TensorType::f16) << tensor.name;
  }
}

TEST(Convert, WhatCannotBeIsSaid) {
  const test::TempFolder scratch;
  const auto error_of = [&](ConvertOptions options) {
    options.to = (scratch.path() / "out").string();
    const auto done = convert_model(options);
    EXPECT_FALSE(done);
    EXPECT_FALSE(std::filesystem::exists(options.to));
    EXPECT_FALSE(std::filesystem::exists(options.to + ".draft"));
    return done ? std::string() : done.error().what;
  };
  const std::string plain = fixture("llama_f32");
  EXPECT_THAT(
      error_of({.from = fixture("llama_affine4")}),
      HasSubstr("quantised already"));
  EXPECT_THAT(error_of({.from = fixture("llama_gguf")}), HasSubstr("GGUF"));
  EXPECT_THAT(
      error_of({.from = plain, .mode = "mxfp4", .bits = 8}),
      HasSubstr("mxfp4"));
  EXPECT_THAT(error_of({.from = plain, .bits = 7}), HasSubstr("7 bits"));
  EXPECT_THAT(
      error_of({.from = plain, .mode = "nvfp4", .predicate = "mixed_3_6"}),
      HasSubstr("affine"));
  ConvertOptions taken{.from = plain, .to = scratch.path().string()};
  const auto done = convert_model(taken);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("exists already"));
}

}  // namespace
}  // namespace rapid
