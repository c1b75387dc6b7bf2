#include "models/block_decoder.h"

#include <array>
#include <cmath>

namespace rapid {

namespace {

// What belongs to images and sound in checkpoints that have them.
constexpr std::array<std::string_view, 7> kOtherParts = {
    "vision_tower.",
    "multi_modal_projector.",
    "audio_tower.",
    "embed_vision.",
    "embed_audio.",
    "vision_embedder.",
    "visual."};

bool is_other_part(std::string_view name) {
  for (const std::string_view outer : {"model.", "language_model."}) {
    if (name.starts_with(outer)) {
      name.remove_prefix(outer.size());
    }
  }
  for (const std::string_view part : kOtherParts) {
    if (name.starts_with(part)) {
      return true;
    }
  }
  return false;
}

}  // namespace

TextPart text_part(const ModelFiles& files, WeightMap& map) {
  const WeightCursor top(map);
  TextPart out{top, top.scope("model")};
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    if (is_other_part(name)) {
      map.ignore(tensor.name);
    } else if (name.starts_with("model.language_model.")) {
      out.model = top.scope("model.language_model");
    } else if (name.starts_with("language_model.model.")) {
      out.root = top.scope("language_model");
      out.model = out.root.scope("model");
    }
  }
  return out;
}

void ignore_keys(
    const WeightCursor& layer,
    std::initializer_list<const char*> endings,
    WeightMap& map) {
  const WeightCursor at = layer.scope("self_attn");
  for (const auto* module : {"k_proj", "v_proj", "k_norm", "v_norm"}) {
    for (const auto* ending : endings) {
      map.ignore(at.name(std::string(module) + ending));
    }
  }
}

Json text_config(const Json& config) {
  const auto text = config.find("text_config");
  if (text == config.end() || !text->is_object()) {
    return config;
  }
  Json out = *text;
  for (const auto* key : {"eos_token_id", "tie_word_embeddings"}) {
    if (config.contains(key) && !config[key].is_null()) {
      out[key] = config[key];
    }
  }
  return out;
}

TransformerBlockOptions plain_block(
    const DecoderConfig& shape, const RopeOptions& rope) {
  return {
      .norm = {shape.hidden, shape.norm_eps},
      .attention =
          {.hidden = shape.hidden,
           .heads = shape.heads,
           .kv_heads = shape.kv_heads,
           .head_dim = shape.head_dim,
           .rope = rope,
           .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim))},
      .mlp = {.hidden = shape.hidden, .inner = shape.inner}};
}

Bias bias_of(const Json& config, const char* key, bool fallback) {
  const ConfigReader in(config);
  if (!in.has(key)) {
    return fallback ? Bias::required : Bias::if_present;
  }
  return in.flag_or(key, false) ? Bias::required : Bias::none;
}

Result<std::vector<bool>> sliding_layers(
    const Json& config, int layers, int pattern) {
  const ConfigReader in(config);
  std::vector<bool> out;
  const Json& kinds = in.at("layer_types");
  if (kinds.is_array() && kinds.size() == static_cast<size_t>(layers)) {
    for (const Json& kind : kinds) {
      out.push_back(kind == "sliding_attention");
    }
    return out;
  }
  const Json& said = in.at("sliding_window_pattern");
  if (said.is_array() && said.size() == static_cast<size_t>(layers)) {
    for (const Json& flag : said) {  // GGUF
      out.push_back(flag != 0);
    }
    return out;
  }
  RAPID_TRY(const int every, in.count_or("sliding_window_pattern", pattern));
  for (int i = 0; i < layers; ++i) {
    out.push_back((i + 1) % every != 0);
  }
  return out;
}

Result<std::unique_ptr<Model>> load_block_decoder(
    const std::shared_ptr<const ModelFiles>& files,
    const LoadOptions& load,
    const DecoderConfig& shape,
    const BlockDecoderOptions& options) {
  RAPID_TRY(auto map, WeightMap::open(files, load.exact));
  const TextPart text = text_part(*files, *map);
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(
          *files, shape, text.root, text.model, options.norm_offset));
  spine.embedding_scale = options.embedding_scale;
  spine.logit_softcap = options.logit_softcap;
  std::vector<TransformerBlock> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const TransformerBlockOptions block = options.layer(i);
    RAPID_TRY(
        TransformerBlock next,
        TransformerBlock::load(layer_scope(text.model, i), block));
    spine.states.push_back(
        {.heads = block.attention.kv_heads,
         .dim = block.attention.head_dim,
         .window = block.attention.window,
         .far_keys = next.far_keys(),
         .border = block.attention.rope.border});
    layers.push_back(std::move(next));
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<BlockDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace rapid
