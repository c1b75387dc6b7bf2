// Gemma 2: four norms a layer, every other layer sliding, scores and logits
// bent by a softcap.
//
// Quirks: safetensors store norm weights less one, GGUF with the one added;
// the 46-layer model scales queries by hidden/heads, which GGUF does not say.
#include <cmath>

#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

// What the queries are divided by the root of, where no key says it.
float query_scalar(const ModelFiles& files, const DecoderConfig& shape) {
  if (files.container == ModelFiles::Container::safetensors) {
    return 256.0f;
  }
  const bool largest = shape.layers == 46;
  return static_cast<float>(
      largest ? shape.hidden / shape.heads : shape.head_dim);
}

Result<std::unique_ptr<Model>> load_gemma2(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(
        config,
        {{"head_dim", 256},
         {"max_position_embeddings", 8192},
         {"sliding_window", 4096},
         {"attn_logit_softcapping", 50.0},
         {"final_logit_softcapping", 30.0}});
  }
  config = with_defaults(config, {{"tie_word_embeddings", true}});
  RAPID_CHECK(check_activation(config, "gelu_pytorch_tanh"));
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  const ConfigReader in(config);
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  RAPID_TRY(
      const float scalar,
      in.number_or("query_pre_attn_scalar", query_scalar(*files, shape)));
  const float offset = gguf ? 0.0f : 1.0f;
  TransformerBlockOptions block = plain_block(shape, rope);
  block.norm.offset = offset;
  block.norm_names = {
      .after_attention = "post_attention_layernorm",
      .before_mlp = "pre_feedforward_layernorm",
      .after_mlp = "post_feedforward_layernorm"};
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.attention.scale = 1.0f / std::sqrt(scalar);
  RAPID_TRY(
      block.attention.softcap, in.number_or("attn_logit_softcapping", 0.0f));
  block.mlp.activation = Activation::gelu_tanh;
  RAPID_TRY(
      const std::vector<bool> sliding, sliding_layers(config, shape.layers, 2));
  BlockDecoderOptions out;
  out.norm_offset = offset;
  out.embedding_scale = std::sqrt(static_cast<float>(shape.hidden));
  RAPID_TRY(out.logit_softcap, in.number_or("final_logit_softcapping", 0.0f));
  out.layer = [&](int i) {
    TransformerBlockOptions next = block;
    const bool window = sliding[static_cast<size_t>(i)];
    next.attention.window = window ? shape.sliding_window : 0;
    return next;
  };
  return load_block_decoder(files, options, shape, out);
}

}  // namespace

void register_model_gemma2(ModelRegistry& registry) {
  registry.add({"gemma2"}, load_gemma2);
}

}  // namespace rapid
