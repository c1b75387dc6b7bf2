// Strict loading: what is wrong with a checkpoint is said by name.
#include <gmock/gmock.h>

#include <cmath>

#include "models_fixture.h"

namespace rapid {
namespace {

using testing::HasSubstr;

// A copy of a fixture's files, to be spoilt.
std::shared_ptr<ModelFiles> open_copy(const std::string& name) {
  mx::set_default_device(mx::Device::cpu);
  auto files = ModelFiles::open(fixture_folder(name).string());
  if (!files) {
    ADD_FAILURE() << files.error().what;
    return nullptr;
  }
  return std::make_shared<ModelFiles>(**files);
}

Error load_error(const std::shared_ptr<ModelFiles>& files) {
  auto model = ModelRegistry::global().load(files, {});
  if (model) {
    ADD_FAILURE() << "loaded";
    return {};
  }
  return model.error();
}

TensorView& tensor(ModelFiles& files, const std::string& name) {
  for (TensorView& view : files.tensors) {
    if (view.name == name) {
      return view;
    }
  }
  throw std::out_of_range(name);
}

TEST(Loading, UnknownArchitectureListsTheKnownOnes) {
  auto files = open_copy("llama_gguf");
  files->architecture = "perceptron";
  const Error error = load_error(files);
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.what, HasSubstr("perceptron"));
  for (const char* name : {"gemma3", "llama", "qwen2"}) {
    EXPECT_THAT(error.hint, HasSubstr(name));
  }
}

TEST(Loading, MissingTensorIsNamed) {
  auto files = open_copy("qwen2_bf16");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name == "model.layers.0.mlp.up_proj.weight";
  });
  const Error error = load_error(files);
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_THAT(error.what, HasSubstr("model.layers.0.mlp.up_proj.weight"));
}

TEST(Loading, MissingExpertIsNamed) {
  auto files = open_copy("qwen3_moe_bf16");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name == "model.layers.1.mlp.experts.3.up_proj.weight";
  });
  EXPECT_THAT(
      load_error(files).what,
      HasSubstr("model.layers.1.mlp.experts.3.up_proj.weight"));
}

TEST(Loading, MoreExpertsChosenThanThereAre) {
  auto files = open_copy("qwen3_moe_bf16");
  files->config["num_experts_per_tok"] = 7;
  EXPECT_THAT(load_error(files).what, HasSubstr("7 of 6 experts"));
}

// Heads that guess further tokens are kept for later.
TEST(Loading, LayersBeyondTheLastAreSkipped) {
  auto files = open_copy("glm4_moe_bf16");
  TensorView extra = tensor(*files, "model.norm.weight");
  extra.name = "model.layers.2.enorm.weight";
  files->tensors.push_back(extra);
  EXPECT_TRUE(ModelRegistry::global().load(files, {}));
  extra.name = "model.layers.1.enorm.weight";
  files->tensors.push_back(extra);
  EXPECT_THAT(load_error(files).what, HasSubstr("model.layers.1.enorm.weight"));
}

TEST(Loading, OtherRoutersAreUnsupported) {
  auto files = open_copy("deepseek_v3_bf16");
  files->config["scoring_func"] = "softmax";
  const Error error = load_error(files);
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.what, HasSubstr("scoring_func"));
}

TEST(Loading, CompressedAttentionSaysWhatItDoesNotKnow) {
  const auto refused = [](const char* key, const Json& value) {
    auto files = open_copy("deepseek_v4_saved");
    files->config[key] = value;
    const Error error = load_error(files);
    EXPECT_EQ(error.code, ErrorCode::unsupported) << key;
    EXPECT_THAT(error.what, HasSubstr(key));
  };
  refused("scoring_func", "softmax");
  refused("layer_types", {"sliding_attention", "spiral", "", ""});
  refused("mlp_layer_types", {"hash_moe", "dense", "moe", "moe"});
  refused("o_groups", 3);
  refused("index_head_dim", 8);
  refused("hc_mult", 1000);
  auto files = open_copy("deepseek_v4_held");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name ==
           "model.layers.1.self_attn.compressor.indexer.kv_norm.weight";
  });
  EXPECT_THAT(
      load_error(files).what,
      HasSubstr("model.layers.1.self_attn.indexer.kv_norm.weight"));
}

// The experts of a token are a table of the file.
TEST(Loading, TablesOfOtherExpertsAreNamed) {
  auto files = open_copy("deepseek_v4_held");
  TensorView& table = tensor(*files, "model.layers.1.mlp.gate.tid2eid");
  std::vector<int64_t> ids(static_cast<size_t>(table.elements()), 1);
  ids.back() = 6;  // of 6
  table.bytes = std::as_bytes(std::span(ids));
  EXPECT_THAT(load_error(files).what, HasSubstr("gate.tid2eid"));
  ids.back() = -1;
  EXPECT_THAT(load_error(files).what, HasSubstr("gate.tid2eid"));
  ids.back() = 5;
  EXPECT_TRUE(ModelRegistry::global().load(files, {}));
}

TEST(Loading, PackedExpertsWithoutExponentsAreNamed) {
  auto files = open_copy("deepseek_v4_published");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name == "layers.1.ffn.experts.2.w3.scale";
  });
  EXPECT_THAT(
      load_error(files).what,
      HasSubstr("layers.1.mlp.experts.2.up_proj.weight_scale_inv"));
}

TEST(Loading, MissingSinksAreNamed) {
  auto files = open_copy("gpt_oss_published");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name == "model.layers.0.self_attn.sinks";
  });
  EXPECT_THAT(load_error(files).what, HasSubstr("self_attn.sinks"));
}

TEST(Loading, MissingBiasIsNamed) {
  auto files = open_copy("qwen2_bf16");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name == "model.layers.0.self_attn.k_proj.bias";
  });
  EXPECT_THAT(
      load_error(files).what,
      HasSubstr("model.layers.0.self_attn.k_proj.bias"));
}

// Codes of 4 bits become 8 in the layers whose biases put keys far from zero.
TEST(Loading, FarKeysKeepMoreBits) {
  auto files = open_copy("qwen2_windows");
  TensorView& bias = tensor(*files, "model.layers.0.self_attn.k_proj.bias");
  std::vector<float> values(static_cast<size_t>(bias.shape[0]), 0.5f);
  values.back() = -20;
  bias.type = TensorType::f32;
  bias.bytes = std::as_bytes(std::span(values));
  bias.file.reset();
  auto model = ModelRegistry::global().load(files, {});
  ASSERT_TRUE(model) << model.error().what;
  const auto kinds = [&](int bits) {
    std::vector<std::string> out;
    for (const auto& state : (*model)->make_states({.kv_bits = bits})) {
      out.push_back(state->snapshot()->kind());
    }
    return out;
  };
  const std::vector<std::string> four = kinds(4);
  ASSERT_EQ(four.size(), 2U);
  EXPECT_THAT(four[0], HasSubstr("8 mixed bits"));
  EXPECT_THAT(four[1], HasSubstr("4 mixed bits"));
  EXPECT_THAT(kinds(8), testing::Each(HasSubstr("8 mixed bits")));
  EXPECT_THAT(kinds(0), testing::Each(testing::Not(HasSubstr("bits"))));
}

// Keys are values where the configuration says so, not where v is missing.
TEST(Loading, MissingValuesAreNamed) {
  auto files = open_copy("gemma4_keys");
  files->config["attention_k_eq_v"] = false;
  EXPECT_THAT(load_error(files).what, HasSubstr("v_proj"));
}

TEST(Loading, MissingHeadIsNamedWhenNotTied) {
  auto files = open_copy("llama_f32");
  std::erase_if(files->tensors, [](const TensorView& view) {
    return view.name == "lm_head.weight";
  });
  EXPECT_THAT(load_error(files).what, HasSubstr("lm_head.weight"));
}

TEST(Loading, MisshapenTensorIsNamed) {
  auto files = open_copy("llama_f32");
  tensor(*files, "model.layers.0.self_attn.k_proj.weight").shape = {64, 32};
  EXPECT_THAT(
      load_error(files).what,
      HasSubstr("model.layers.0.self_attn.k_proj.weight"));
}

TEST(Loading, LeftOverTensorIsNamed) {
  auto files = open_copy("llama_f32");
  TensorView extra = tensor(*files, "model.norm.weight");
  extra.name = "model.layers.0.self_attn.sinks";
  files->tensors.push_back(extra);
  const Error error = load_error(files);
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_THAT(error.what, HasSubstr("model.layers.0.self_attn.sinks"));
}

TEST(Loading, RotaryTablesOfOldCheckpointsAreSkipped) {
  auto files = open_copy("llama_f32");
  TensorView extra = tensor(*files, "model.norm.weight");
  extra.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
  files->tensors.push_back(extra);
  EXPECT_TRUE(ModelRegistry::global().load(files, {}));
}

TEST(Loading, IncompleteConfigurationNamesTheKey) {
  auto files = open_copy("llama_f32");
  files->config.erase("num_attention_heads");
  EXPECT_THAT(load_error(files).what, HasSubstr("num_attention_heads"));
  files->config["num_attention_heads"] = 3;  // 2 key heads do not divide it
  EXPECT_THAT(load_error(files).what, HasSubstr("num_key_value_heads"));
}

TEST(Loading, UnknownVariantsAreUnsupported) {
  auto files = open_copy("llama_f32");
  files->config["rope_parameters"]["rope_type"] = "spiral";
  Error error = load_error(files);
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.what, HasSubstr("spiral"));
  files = open_copy("llama_f32");
  files->config["hidden_act"] = "relu";
  error = load_error(files);
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.what, HasSubstr("relu"));
}

// The older spelling of the same configuration and of multimodal checkpoints.
TEST(Loading, LanguageModelPrefixAndTextConfig) {
  auto files = open_copy("gemma3_f16");
  const Fixture fixture = read_fixture("gemma3_f16");
  TensorView image = tensor(*files, "model.norm.weight");
  for (TensorView& view : files->tensors) {
    view.name = "language_model." + view.name;
  }
  image.name = "vision_tower.vision_model.post_layernorm.weight";
  files->tensors.push_back(image);
  Json text = files->config;
  text.erase("rope_parameters");
  text["rope_theta"] = 1e6;
  text["rope_local_base_freq"] = 10000.0;
  files->config = {
      {"model_type", "gemma3"}, {"text_config", text}, {"eos_token_id", 5}};
  files->architecture = "gemma3";
  auto model = ModelRegistry::global().load(files, {});
  ASSERT_TRUE(model) << model.error().what;
  EXPECT_EQ((*model)->info().end_tokens, std::vector<int32_t>{5});
  SequenceState states = (*model)->make_states({});
  const std::vector<float> got = run_all(**model, states, fixture.tokens);
  ASSERT_EQ(got.size(), fixture.logits.size());
  for (size_t i = 0; i < got.size(); ++i) {
    // The reference caps the logits of text models alone.
    ASSERT_NEAR(9 * std::tanh(got[i] / 9), fixture.logits[i], 1e-3) << i;
  }
}

TEST(Registry, DuplicateNamesThrow) {
  ModelRegistry registry;
  registry.add({"one", "two"}, nullptr);
  EXPECT_THROW(registry.add({"two"}, nullptr), std::logic_error);
}

}  // namespace
}  // namespace rapid
