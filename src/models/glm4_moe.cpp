// GLM-4.5 to 4.7: partial rotation, a sigmoid router with a correction and
// groups, a shared expert; the first layers are dense.
//
// Quirks: GGUF counts the layers that guess further tokens among its blocks;
// norms of q and k are there in some sizes only.
#include "models/gguf_config.h"
#include "models/moe_decoder.h"
#include "models/registry.h"

namespace rapid {

namespace {

// transformers' Glm4MoeConfig.
const Json& family_defaults() {
  static const Json defaults = {
      {"num_key_value_heads", 8},
      {"max_position_embeddings", 131072},
      {"rms_norm_eps", 1e-5},
      {"partial_rotary_factor", 0.5},
      {"moe_intermediate_size", 1408},
      {"n_shared_experts", 1},
      {"norm_topk_prob", true},
      {"tie_word_embeddings", false}};
  return defaults;
}

// GGUF tells by the tensors.
bool has_head_norms(const ModelFiles& files, const Json& config) {
  if (files.container != ModelFiles::Container::gguf) {
    return ConfigReader(config).flag_or("use_qk_norm", false);
  }
  for (const TensorView& tensor : files.tensors) {
    if (tensor.name == "blk.0.attn_q_norm.weight") {
      return true;
    }
  }
  return false;
}

Result<std::unique_ptr<Model>> load_glm4_moe(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(config, family_defaults());
  }
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(const MoeOptions moe, read_grouped_moe(config, shape));
  RAPID_TRY(const int dense, read_dense_layers(config, 1));
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  if (has_head_norms(*files, config)) {
    block.attention.head_norm = RmsNormOptions{shape.head_dim, shape.norm_eps};
  }
  return load_moe_decoder(
      files,
      options,
      shape,
      {.moe = moe,
       .layer = [&](int) { return block; },
       .sparse = [&](int i) { return i >= dense; }});
}

}  // namespace

void register_model_glm4_moe(ModelRegistry& registry) {
  registry.add({"glm4_moe", "glm4moe"}, load_glm4_moe);
}

}  // namespace rapid
