#include <gtest/gtest.h>

#include "tensor/weight_map.h"

namespace rapid {
namespace {

// A model in memory: tensors of zero bytes.
class Files {
 public:
  explicit Files(ModelFiles::Container container) {
    files_->container = container;
  }

  Files& add(
      const std::string& name, TensorType type, std::vector<int64_t> shape) {
    TensorView view{name, type, std::move(shape)};
    const auto size = tensor_bytes(type, static_cast<size_t>(view.elements()));
    view.bytes = std::span(zeros_).first(size);
    files_->tensors.push_back(std::move(view));
    return *this;
  }

  Files& quantised(const char* config) {
    auto parsed = QuantConfig::from_config(Json::parse(config));
    EXPECT_TRUE(parsed);
    files_->quantisation = *parsed;
    return *this;
  }

  std::unique_ptr<WeightMap> open() {
    auto map = WeightMap::open(files_);
    EXPECT_TRUE(map);
    return *std::move(map);
  }
  Result<std::unique_ptr<WeightMap>> try_open() {
    return WeightMap::open(files_);
  }

 private:
  std::shared_ptr<ModelFiles> files_ = std::make_shared<ModelFiles>();
  std::vector<std::byte> zeros_ = std::vector<std::byte>(1 << 16);
};

constexpr auto kGguf = ModelFiles::Container::gguf;
constexpr auto kSafetensors = ModelFiles::Container::safetensors;

TEST(CanonicalName, MapsGgufNames) {
  EXPECT_EQ(canonical_name("token_embd.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(canonical_name("output.weight"), "lm_head.weight");
  EXPECT_EQ(canonical_name("output_norm.weight"), "model.norm.weight");
  EXPECT_EQ(
      canonical_name("blk.12.attn_q.bias"),
      "model.layers.12.self_attn.q_proj.bias");
  EXPECT_EQ(
      canonical_name("blk.0.attn_output.weight"),
      "model.layers.0.self_attn.o_proj.weight");
  EXPECT_EQ(
      canonical_name("blk.3.ffn_down.weight"),
      "model.layers.3.mlp.down_proj.weight");
  EXPECT_EQ(
      canonical_name("blk.3.ffn_down_exps.weight"),
      "model.layers.3.mlp.switch_mlp.down_proj.weight");
  EXPECT_EQ(
      canonical_name("blk.3.exp_probs_b.bias"),
      "model.layers.3.mlp.gate.e_score_correction.bias");
}

TEST(CanonicalName, LeavesOthersAlone) {
  for (const char* name :
       {"rope_freqs.weight",
        "blk.x.attn_q.weight",
        "blk.1.new.weight",
        "blk.",
        "blk.7",
        "plain",
        ""}) {
    EXPECT_EQ(canonical_name(name), name);
  }
}

TEST(WeightMap, FfnNormDependsOnTheSandwich) {
  auto plain = Files(kGguf).add("blk.0.ffn_norm.weight", TensorType::f32, {4});
  EXPECT_TRUE(
      plain.open()->has("model.layers.0.post_attention_layernorm.weight"));
  auto sandwich =
      Files(kGguf)
          .add("blk.0.ffn_norm.weight", TensorType::f32, {4})
          .add("blk.0.post_attention_norm.weight", TensorType::f32, {4});
  const auto map = sandwich.open();
  EXPECT_TRUE(map->has("model.layers.0.pre_feedforward_layernorm.weight"));
  EXPECT_TRUE(map->has("model.layers.0.post_attention_layernorm.weight"));
}

TEST(WeightMap, TakesAndCountsWhatIsLeft) {
  auto files = Files(kGguf)
                   .add("blk.0.attn_q.weight", TensorType::q4_0, {4, 64})
                   .add("blk.0.attn_norm.weight", TensorType::f32, {64})
                   .add("rope_freqs.weight", TensorType::f32, {8});
  const auto map = files.open();
  WeightCursor layer = WeightCursor(*map).scope("model").scope("layers.0");
  const auto q = layer.matrix("self_attn.q_proj", 4, 64);
  ASSERT_TRUE(q);
  EXPECT_EQ((*q)->data.type, TensorType::q4_0);
  EXPECT_EQ((*q)->name, "model.layers.0.self_attn.q_proj.weight");
  const Status left = map->check_all_taken();
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, ErrorCode::corrupt);
  EXPECT_NE(
      left.error().what.find("input_layernorm.weight, rope_freqs.weight"),
      std::string::npos)
      << left.error().what;
  EXPECT_TRUE(layer.has("input_layernorm.weight"));
  const auto norm = layer.vector("input_layernorm.weight", 64);
  ASSERT_TRUE(norm);
  EXPECT_EQ(norm->shape(), mx::Shape({64}));
  map->ignore("rope_freqs.weight");
  EXPECT_TRUE(map->check_all_taken());
}

TEST(WeightMap, AStackIsAMatrixOfAllRows) {
  auto files =
      Files(kGguf)
          .add("blk.0.ffn_up_exps.weight", TensorType::q4_0, {3, 16, 64})
          .add("blk.0.ffn_up_exps.bias", TensorType::f32, {3, 16});
  const auto map = files.open();
  const WeightCursor experts =
      WeightCursor(*map).scope("model.layers.0.mlp.switch_mlp");
  const auto up = experts.stack("up_proj", 3, 16, 64);
  ASSERT_TRUE(up);
  EXPECT_EQ((*up)->rows, 48);
  const WeightPtr second = row_slice(**up, 16, 16);
  EXPECT_EQ(second->rows, 16);
  EXPECT_EQ(
      second->data.bytes.data() - (*up)->data.bytes.data(),
      std::ssize((*up)->data.bytes) / 3);
  const auto biases = experts.table("up_proj.bias", 3, 16);
  ASSERT_TRUE(biases);
  EXPECT_EQ(biases->shape(), mx::Shape({3, 16}));
  EXPECT_FALSE(experts.stack("up_proj", 4, 16, 64));
}

void expect_error(const Result<WeightPtr>& got, const char* part) {
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().what.find(part), std::string::npos) << got.error().what;
}

TEST(WeightMap, NamesWhatIsWrong) {
  auto files = Files(kSafetensors)
                   .add("a.weight", TensorType::f32, {4, 64})
                   .add("b.weight", TensorType::i64, {4, 64});
  const auto map = files.open();
  const WeightCursor cursor(*map);
  expect_error(
      cursor.matrix("a", 4, 32),
      "a.weight: expected shape [4, 32], got [4, 64]");
  expect_error(cursor.matrix("b", 4, 64), "got I64");
  expect_error(cursor.matrix("c", 4, 64), "c.weight is missing");
  EXPECT_FALSE(cursor.vector("a.weight", 4));
}

TEST(WeightMap, RefusesATensorTwice) {
  auto files = Files(kSafetensors)
                   .add("a.weight", TensorType::f32, {4})
                   .add("a.weight", TensorType::f32, {4});
  EXPECT_FALSE(files.try_open());
}

Files packed(TensorType scales) {
  Files files(kSafetensors);
  files.add("a.weight", TensorType::u32, {4, 16})
      .add("a.scales", scales, {4, 2})
      .quantised(R"({"quantization": {"bits": 4, "group_size": 64}})");
  return files;
}

TEST(WeightMap, TakesQuantisedTriples) {
  auto files = packed(TensorType::f16);
  files.add("a.biases", TensorType::f16, {4, 2});
  const auto map = files.open();
  const auto w = WeightCursor(*map).matrix("a", 4, 128);
  ASSERT_TRUE(w) << w.error().what;
  EXPECT_EQ((*w)->scheme->bits, 4);
  EXPECT_TRUE((*w)->biases.has_value());
  EXPECT_TRUE(map->check_all_taken());
}

TEST(WeightMap, ChecksQuantisedTriples) {
  auto no_biases = packed(TensorType::f16);
  expect_error(WeightCursor(*no_biases.open()).matrix("a", 4, 128), "biases");
  auto mixed = packed(TensorType::f16);
  mixed.add("a.biases", TensorType::f32, {4, 2});
  expect_error(
      WeightCursor(*mixed.open()).matrix("a", 4, 128), "one float type");
  auto narrow = packed(TensorType::f16);
  narrow.add("a.biases", TensorType::f16, {4, 2});
  expect_error(WeightCursor(*narrow.open()).matrix("a", 4, 64), "shape");
}

}  // namespace
}  // namespace rapid
