#include "models/delta_hybrid.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace rapid {

namespace {

Result<std::vector<bool>> read_layer_kinds(const Json& config, int layers) {
  const ConfigReader in(config);
  std::vector<bool> out;
  const Json& kinds = in.at("layer_types");
  if (kinds.is_array() && kinds.size() == static_cast<size_t>(layers)) {
    for (const Json& kind : kinds) {
      if (kind != "linear_attention" && kind != "full_attention") {
        return Error{
            ErrorCode::unsupported,
            "model configuration: layer type " + dump_json(kind),
            "known: linear_attention, full_attention",
            "layer_types"};
      }
      out.push_back(kind == "linear_attention");
    }
    return out;
  }
  RAPID_TRY(const int interval, in.count_or("full_attention_interval", 4));
  for (int i = 0; i < layers; ++i) {
    out.push_back((i + 1) % interval != 0);
  }
  return out;
}

// A quarter of a head, unless it is said somewhere.
Result<RopeOptions> read_rope(const Json& config, int head_dim) {
  const ConfigReader in(config);
  const auto* key =
      in.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  Json rope = in.has(key) ? in.at(key) : Json::object();
  for (const auto* part : {"rope_theta", "partial_rotary_factor"}) {
    if (in.has(part) && !rope.contains(part)) {
      rope[part] = in.at(part);
    }
  }
  if (!rope.contains("partial_rotary_factor")) {
    rope["partial_rotary_factor"] = 0.25;
  }
  return rope_from_config(rope, 10000.0f, head_dim);
}

// Where the text part begins.
struct Prefixes {
  std::string root;   // of lm_head
  std::string model;  // of embed_tokens, layers and norm
};

Prefixes text_prefixes(const ModelFiles& files) {
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    if (name.starts_with("language_model.model.")) {
      return {"language_model", "language_model.model"};
    }
    if (name.starts_with("model.language_model.")) {
      return {"", "model.language_model"};
    }
  }
  return {"", "model"};
}

// Images, and the head that predicts several tokens (GGUF: blocks behind the
// last layer).
void skip_unneeded(const ModelFiles& files, WeightMap& map, int layers) {
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    if (name.starts_with("blk.") && std::atoi(name.data() + 4) >= layers) {
      map.ignore_file(tensor);
    }
    for (const std::string_view part :
         {"mtp.",
          "model.mtp.",
          "language_model.mtp.",
          "visual.",
          "model.visual.",
          "vision_tower."}) {
      if (name.starts_with(part)) {
        map.ignore(tensor.name);
      }
    }
  }
}

SelfAttentionOptions attention_options(const DeltaHybridConfig& config) {
  const DecoderConfig& s = config.shape;
  return {
      .hidden = s.hidden,
      .heads = s.heads,
      .kv_heads = s.kv_heads,
      .head_dim = s.head_dim,
      .qkv_bias = config.attention_bias,
      .output_bias = config.attention_bias,
      .head_norm = RmsNormOptions{s.head_dim, s.norm_eps, config.norm_offset},
      .rope = config.rope,
      .scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim)),
      .gated = config.gated};
}

// The layer's mixer, and what it keeps.
Result<LayerPart> load_mixer(
    const WeightCursor& layer,
    const DeltaHybridConfig& config,
    int index,
    std::vector<KvLayer>& states) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before,
      load_rms_norm(
          layer,
          "input_layernorm",
          {s.hidden, s.norm_eps, config.norm_offset}));
  if (config.linear[static_cast<size_t>(index)]) {
    RAPID_TRY(
        GatedDeltaNet net,
        GatedDeltaNet::load(
            layer.scope("linear_attn"),
            {s.hidden, config.delta, s.norm_eps, config.tiled},
            std::move(before)));
    states.push_back({.rule = net.rule()});
    return state_part(std::move(net), index);
  }
  RAPID_TRY(
      SelfAttention attention,
      SelfAttention::load(
          layer.scope("self_attn"),
          attention_options(config),
          {std::move(before), std::nullopt}));
  states.push_back(
      {.heads = s.kv_heads, .dim = s.head_dim, .border = config.rope.border});
  return state_part(std::move(attention), index);
}

Result<LayerPart> load_feed_forward(
    const WeightCursor& layer,
    const DeltaHybridConfig& config,
    int index,
    const DeltaFeedForward& sparse) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before,
      load_rms_norm(
          layer,
          "post_attention_layernorm",
          {s.hidden, s.norm_eps, config.norm_offset}));
  if (sparse.load) {
    RAPID_TRY(std::optional<LayerPart> part, sparse.load(layer, index, before));
    if (part) {
      return *std::move(part);
    }
  }
  RAPID_TRY(
      Mlp mlp,
      Mlp::load(
          layer.scope("mlp"),
          {s.hidden, s.inner, Activation::silu},
          {std::move(before), std::nullopt}));
  return rows_part(std::move(mlp));
}

// What a step holds of a row beside the residual stream.
int row_floats(const DeltaHybridConfig& config) {
  const DecoderConfig& s = config.shape;
  const GatedDeltaShape& d = config.delta;
  const int attention = 4 * s.heads * s.head_dim + 2 * s.kv_heads * s.head_dim;
  const int delta = d.channels() + 2 * d.values() + 2 * d.value_heads;
  return std::max(attention, delta) + 3 * s.hidden;
}

}  // namespace

Result<DeltaHybridConfig> read_delta_hybrid(const Json& config) {
  const ConfigReader in(config);
  DeltaHybridConfig out;
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(out.shape, read_decoder_config(config));
  RAPID_TRY(out.delta.key_heads, in.count("linear_num_key_heads"));
  RAPID_TRY(out.delta.value_heads, in.count("linear_num_value_heads"));
  RAPID_TRY(out.delta.key_dim, in.count("linear_key_head_dim"));
  RAPID_TRY(out.delta.value_dim, in.count("linear_value_head_dim"));
  RAPID_TRY(out.delta.kernel, in.count("linear_conv_kernel_dim"));
  if (out.delta.value_heads % out.delta.key_heads != 0 ||
      out.delta.kernel < 2 || out.delta.kernel > 8) {
    return Error{
        ErrorCode::unsupported,
        "model configuration: linear attention's heads or kernel",
        "value heads are a multiple of key heads, the kernel is 2 to 8 long",
        "linear_num_value_heads"};
  }
  RAPID_TRY(out.linear, read_layer_kinds(config, out.shape.layers));
  RAPID_TRY(out.rope, read_rope(config, out.shape.head_dim));
  out.attention_bias =
      in.flag_or("attention_bias", false) ? Bias::required : Bias::none;
  out.gated = in.flag_or("attn_output_gate", true);
  return out;
}

bool norms_less_one(const ModelFiles& files) {
  return std::none_of(
      files.tensors.begin(), files.tensors.end(), [](const TensorView& t) {
        return t.name.ends_with(".conv1d.weight") && !t.shape.empty() &&
               t.shape.back() == 1;
      });
}

Result<std::unique_ptr<Model>> load_delta_hybrid(
    const ModelFiles& files,
    WeightMap& map,
    const DeltaHybridConfig& config,
    const DeltaFeedForward& sparse) {
  const DecoderConfig& shape = config.shape;
  const Prefixes prefixes = text_prefixes(files);
  skip_unneeded(files, map, shape.layers);
  const WeightCursor root(map, prefixes.root);
  const WeightCursor model(map, prefixes.model);
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(files, shape, root, model, config.norm_offset));
  spine.info.row_floats = row_floats(config) + sparse.row_floats;
  std::vector<std::vector<LayerPart>> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const WeightCursor layer = layer_scope(model, i);
    RAPID_TRY(LayerPart mixer, load_mixer(layer, config, i, spine.states));
    RAPID_TRY(LayerPart feed, load_feed_forward(layer, config, i, sparse));
    layers.push_back({std::move(mixer), std::move(feed)});
  }
  RAPID_CHECK(finish_weights(map, files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<PartsDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace rapid
