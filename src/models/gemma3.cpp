// Gemma 3, text part: four norms a layer, norms of q and k, five sliding
// layers to a full one, each kind with a rotation of its own.
//
// Quirks: safetensors store norm weights less one, GGUF with the one added;
// the 62-layer model scales queries by hidden/heads, which GGUF does not say;
// multimodal checkpoints keep the text part below language_model.
#include <cmath>

#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

struct Gemma3Config {
  DecoderConfig shape;
  float scale = 1.0f;
  float attention_softcap = 0.0f;
  float logit_softcap = 0.0f;
  float norm_offset = 0.0f;
  RopeOptions full_rope;
  RopeOptions sliding_rope;
  std::vector<bool> sliding;  // by layer
};

// Checkpoints leave out what equals transformers' Gemma3TextConfig.
Json with_defaults(const Json& config) {
  Json out = {
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
  const auto text = config.find("text_config");
  const Json& source =
      text != config.end() && text->is_object() ? *text : config;
  out.update(source);
  if (&source != &config && config.contains("eos_token_id")) {
    out["eos_token_id"] = config["eos_token_id"];
  }
  return out;
}

Status read_ropes(const Json& config, Gemma3Config& out) {
  const ConfigReader in(config);
  const int dim = out.shape.head_dim;
  const ConfigReader by_kind(in.at("rope_parameters"));
  RAPID_TRY(const float local, in.number_or("rope_local_base_freq", 10000.0f));
  RAPID_TRY(
      out.sliding_rope,
      rope_from_config(by_kind.at("sliding_attention"), local, dim));
  if (by_kind.has("full_attention")) {
    RAPID_TRY(
        out.full_rope,
        rope_from_config(by_kind.at("full_attention"), 1e6f, dim));
    return {};
  }
  RAPID_TRY(const float global, in.number_or("rope_theta", 1e6f));
  RAPID_TRY(
      out.full_rope, rope_from_config(in.at("rope_scaling"), global, dim));
  return {};
}

Result<std::vector<bool>> read_layer_kinds(const Json& config, int layers) {
  const ConfigReader in(config);
  std::vector<bool> out;
  const Json& kinds = in.at("layer_types");
  if (kinds.is_array() && kinds.size() == static_cast<size_t>(layers)) {
    for (const Json& kind : kinds) {
      out.push_back(kind == "sliding_attention");
    }
    return out;
  }
  RAPID_TRY(const int pattern, in.count_or("sliding_window_pattern", 6));
  for (int i = 0; i < layers; ++i) {
    out.push_back((i + 1) % pattern != 0);
  }
  return out;
}

Result<Gemma3Config> read_config(const ModelFiles& files) {
  const bool gguf = files.container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(files));
  if (!gguf) {
    config = with_defaults(config);
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
  RAPID_TRY(
      out.attention_softcap, in.number_or("attn_logit_softcapping", 0.0f));
  RAPID_TRY(out.logit_softcap, in.number_or("final_logit_softcapping", 0.0f));
  out.norm_offset = gguf ? 0.0f : 1.0f;
  RAPID_CHECK(read_ropes(config, out));
  RAPID_TRY(out.sliding, read_layer_kinds(config, out.shape.layers));
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
           .window = sliding ? s.sliding_window : 0,
           .softcap = config.attention_softcap},
      .mlp = {s.hidden, s.inner, Activation::gelu_tanh}};
}

// Where the text part begins; what belongs to images is known and skipped.
std::string text_prefix(const ModelFiles& files, WeightMap& map) {
  std::string out;
  for (const TensorView& tensor : files.tensors) {
    for (const auto* part : {"vision_tower.", "multi_modal_projector."}) {
      if (tensor.name.find(part) != std::string::npos) {
        map.ignore(tensor.name);
      }
    }
    if (tensor.name.starts_with("language_model.")) {
      out = "language_model";
    }
  }
  return out;
}

Result<std::unique_ptr<Model>> load_gemma3(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const Gemma3Config config, read_config(*files));
  const DecoderConfig& shape = config.shape;
  RAPID_TRY(auto map, WeightMap::open(files, options.exact));
  const WeightCursor root(*map, text_prefix(*files, *map));
  const WeightCursor model = root.scope("model");
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(*files, shape, root, model, config.norm_offset));
  spine.embedding_scale = std::sqrt(static_cast<float>(shape.hidden));
  spine.logit_softcap = config.logit_softcap;

  std::vector<TransformerBlock> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const bool sliding = config.sliding[static_cast<size_t>(i)];
    RAPID_TRY(
        TransformerBlock next,
        TransformerBlock::load(
            layer_scope(model, i), block_options(config, sliding)));
    layers.push_back(std::move(next));
    spine.states.push_back(
        {shape.kv_heads, shape.head_dim, sliding ? shape.sliding_window : 0});
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<BlockDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_gemma3(ModelRegistry& registry) {
  registry.add({"gemma3", "gemma3_text"}, load_gemma3);
}

}  // namespace rapid
