// Gemma 3, text part: four norms a layer, norms of q and k, five sliding
// layers to a full one, each kind with a rotation of its own.
//
// Quirks: safetensors store norm weights less one, GGUF with the one added;
// the 62-layer model scales queries by hidden/heads, which GGUF does not say;
// multimodal checkpoints keep the text part below language_model; the reference
// reads attn_logit_softcapping and does nothing with it, and caps the logits of
// text models only (final_logit_softcapping).
#include <cmath>

#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

struct Gemma3Config {
  DecoderConfig shape;
  float scale = 1.0f;
  float logit_softcap = 0.0f;
  float norm_offset = 0.0f;
  RopeOptions full_rope;
  RopeOptions sliding_rope;
  std::vector<bool> sliding;  // by layer
};

// Checkpoints leave out what equals transformers' Gemma3TextConfig.
Json family_defaults() {
  return {
      {"vocab_size", 262208},
      {"num_attention_heads", 8},
      {"num_key_value_heads", 4},
      {"head_dim", 256},
      {"hidden_size", 2304},
      {"intermediate_size", 9216},
      {"num_hidden_layers", 26},
      {"max_position_embeddings", 131072},
      {"sliding_window", 4096},
      {"eos_token_id", 1}};
}

Status read_ropes(const Json& config, int context, Gemma3Config& out) {
  const ConfigReader in(config);
  const int dim = out.shape.head_dim;
  const ConfigReader by_kind(in.at("rope_parameters"));
  RAPID_TRY(const float local, in.number_or("rope_local_base_freq", 10000.0f));
  RAPID_TRY(
      out.sliding_rope,
      rope_from_config(by_kind.at("sliding_attention"), local, dim));
  RAPID_TRY(
      out.full_rope,
      read_rope(
          config,
          {.base = 1e6f,
           .head_dim = dim,
           .kind = "full_attention",
           .context = context}));
  return {};
}

Result<Gemma3Config> read_config(const ModelFiles& files, int context) {
  const bool gguf = files.container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(files));
  const bool text_only = !ConfigReader(config).has("text_config");
  if (!gguf) {
    config = with_defaults(text_config(config), family_defaults());
  }
  RAPID_CHECK(check_activation(config, "gelu_pytorch_tanh"));
  Gemma3Config out;
  RAPID_TRY(out.shape, read_decoder_config(config));
  if (!out.shape.tied) {
    out.shape.tied = true;
  }
  const ConfigReader in(config);
  const bool largest = gguf && out.shape.layers == 62;
  const int scalar = largest ? out.shape.hidden / out.shape.heads
                     : gguf  ? out.shape.head_dim
                             : 256;
  RAPID_TRY(
      const float per_query,
      in.number_or("query_pre_attn_scalar", static_cast<float>(scalar)));
  RAPID_TRY(
      out.scale, in.number_or("attention_scale", 1.0f / std::sqrt(per_query)));
  if (text_only) {
    RAPID_TRY(out.logit_softcap, in.number_or("final_logit_softcapping", 0.0f));
  }
  out.norm_offset = gguf ? 0.0f : 1.0f;
  RAPID_CHECK(read_ropes(config, context, out));
  RAPID_TRY(out.sliding, sliding_layers(config, out.shape.layers, 6));
  return out;
}

TransformerBlockOptions block_options(
    const Gemma3Config& config, bool sliding) {
  const DecoderConfig& s = config.shape;
  return {
      .norm = {s.hidden, s.norm_eps, config.norm_offset},
      .norm_names =
          {.after_attention = "post_attention_layernorm",
           .before_mlp = "pre_feedforward_layernorm",
           .after_mlp = "post_feedforward_layernorm"},
      .attention =
          {.hidden = s.hidden,
           .heads = s.heads,
           .kv_heads = s.kv_heads,
           .head_dim = s.head_dim,
           .qkv_bias = Bias::if_present,
           .output_bias = Bias::if_present,
           .head_norm =
               RmsNormOptions{s.head_dim, s.norm_eps, config.norm_offset},
           .rope = sliding ? config.sliding_rope : config.full_rope,
           .scale = config.scale,
           .window = sliding ? s.sliding_window : 0},
      .mlp = {s.hidden, s.inner, Activation::gelu_tanh}};
}

Result<std::unique_ptr<Model>> load_gemma3(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const Gemma3Config config, read_config(*files, options.context));
  const auto layer = [&](int i) {
    return block_options(config, config.sliding[static_cast<size_t>(i)]);
  };
  return load_block_decoder(
      files,
      options,
      config.shape,
      {.norm_offset = config.norm_offset,
       .embedding_scale = std::sqrt(static_cast<float>(config.shape.hidden)),
       .logit_softcap = config.logit_softcap,
       .layer = layer});
}

}  // namespace

void register_model_gemma3(ModelRegistry& registry) {
  registry.add({"gemma3", "gemma3_text"}, load_gemma3);
}

}  // namespace rapid
