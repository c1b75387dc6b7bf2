// LFM2: gated short convolutions, with attention in between; each with a gated
// MLP or, but for the first layers, experts. The final norm is called
// embedding_norm.
//
// Quirks: the MLP's width is derived from intermediate_size unless
// block_auto_adjust_ff_dim is off; GGUF holds the width itself, and tells the
// layers apart by their heads of keys and values.
#include <cmath>

#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"
#include "nn/moe.h"
#include "nn/short_conv_mixer.h"

namespace rapid {

namespace {

struct Lfm2Config {
  DecoderConfig shape;
  ShortConvOptions conv;
  RopeOptions rope;
  std::vector<bool> attends;  // by layer
  std::optional<MoeOptions> experts;
  int dense_layers = 0;  // that come first and have none
};

// transformers' Lfm2Config: a part of the given width, rounded up.
Result<int> adjusted_inner(const ConfigReader& in, int inner) {
  if (!in.flag_or("block_auto_adjust_ff_dim", true)) {
    return inner;
  }
  RAPID_TRY(const float factor, in.number_or("block_ffn_dim_multiplier", 1.0f));
  RAPID_TRY(const int multiple, in.count_or("block_multiple_of", 256));
  const auto scaled =
      static_cast<int>(static_cast<double>(factor) * (2 * inner / 3));
  return (scaled + multiple - 1) / multiple * multiple;
}

Result<std::vector<bool>> read_layer_kinds(const Json& config, int layers) {
  const ConfigReader in(config);
  std::vector<bool> out(static_cast<size_t>(layers), false);
  const Json& kinds = in.at("layer_types");
  const Json& attending = in.at("full_attn_idxs");
  if (kinds.is_array() && kinds.size() == out.size()) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = kinds[i] != "conv";
    }
    return out;
  }
  if (!attending.is_array()) {
    return Error{
        ErrorCode::corrupt,
        "model configuration: expected layer_types or full_attn_idxs",
        "the model's config.json is incomplete",
        "layer_types"};
  }
  for (const Json& index : attending) {
    if (index.is_number_integer() && index >= 0 && index < layers) {
      out[index.get<size_t>()] = true;
    }
  }
  return out;
}

// GGUF's metadata under config.json's keys.
void add_gguf(const ModelFiles& files, Json& config) {
  config["block_auto_adjust_ff_dim"] = false;
  config["conv_L_cache"] = static_cast<int64_t>(
      files.gguf->number(files.architecture + ".shortconv.l_cache")
          .value_or(3));
  if (config.contains("first_k_dense_replace")) {
    config["num_dense_layers"] = config["first_k_dense_replace"];
  }
  const Json heads = config.value("num_key_value_heads", Json());
  if (!heads.is_array()) {
    return;
  }
  Json kinds = Json::array();
  for (const Json& count : heads) {
    kinds.push_back(count == 0 ? "conv" : "full_attention");
    if (count != 0) {
      config["num_key_value_heads"] = count;
    }
  }
  config["layer_types"] = std::move(kinds);
}

Status read_experts(const ConfigReader& in, Lfm2Config& out) {
  if (!in.has("num_experts")) {
    return {};
  }
  MoeOptions moe{.hidden = out.shape.hidden};
  RAPID_TRY(moe.inner, in.count("moe_intermediate_size"));
  RAPID_TRY(moe.experts, in.count("num_experts"));
  RAPID_TRY(moe.top_k, in.count_or("num_experts_per_tok", 4));
  RAPID_TRY(moe.scale, in.number_or("routed_scaling_factor", 1.0f));
  moe.score = RouterScore::sigmoid;
  moe.renormalise = in.flag_or("norm_topk_prob", true);
  moe.correction =
      in.flag_or("use_expert_bias", true) ? Bias::required : Bias::none;
  moe.names.correction = "expert_bias";
  RAPID_CHECK(check_experts(moe));
  out.experts = moe;
  const Json& dense = in.at("num_dense_layers");
  out.dense_layers = dense.is_number_integer() ? dense.get<int>() : 2;
  return {};
}

Result<LayerPart> load_feed_forward(
    const WeightCursor& layer, const Lfm2Config& config, int index) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before, load_rms_norm(layer, "ffn_norm", {s.hidden, s.norm_eps}));
  BlockNorms norms{std::move(before), std::nullopt};
  const WeightCursor scope = layer.scope("feed_forward");
  if (config.experts && index >= config.dense_layers) {
    RAPID_TRY(Moe moe, Moe::load(scope, *config.experts, std::move(norms)));
    return rows_part(std::move(moe));
  }
  RAPID_TRY(
      Mlp mlp,
      Mlp::load(
          scope, {s.hidden, s.inner, Activation::silu}, std::move(norms)));
  return rows_part(std::move(mlp));
}

Result<Lfm2Config> read_config(const ModelFiles& files) {
  RAPID_TRY(Json config, model_config(files));
  if (files.container == ModelFiles::Container::gguf) {
    add_gguf(files, config);
  }
  for (const auto& [old, now] :
       {std::pair{"norm_eps", "rms_norm_eps"},
        std::pair{"block_ff_dim", "intermediate_size"},
        std::pair{"tie_embedding", "tie_word_embeddings"}}) {
    if (config.contains(old)) {
      config[now] = config[old];
    }
  }
  const ConfigReader in(config);
  Lfm2Config out;
  RAPID_TRY(out.shape, read_decoder_config(config));
  out.shape.tied = out.shape.tied.value_or(true);
  if (!in.has("rms_norm_eps")) {
    out.shape.norm_eps = 1e-5f;
  }
  if (files.architecture != "lfm2_moe") {
    RAPID_TRY(out.shape.inner, adjusted_inner(in, out.shape.inner));
  }
  RAPID_CHECK(read_experts(in, out));
  out.conv.hidden = out.shape.hidden;
  RAPID_TRY(out.conv.kernel, in.count_or("conv_L_cache", 3));
  out.conv.bias = in.flag_or("conv_bias", false) ? Bias::required : Bias::none;
  RAPID_TRY(out.rope, rope_of_model(config, 1e6f, out.shape.head_dim));
  RAPID_TRY(out.attends, read_layer_kinds(config, out.shape.layers));
  return out;
}

Result<LayerPart> load_mixer(
    const WeightCursor& layer,
    const Lfm2Config& config,
    int index,
    std::vector<KvLayer>& states) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before,
      load_rms_norm(layer, "operator_norm", {s.hidden, s.norm_eps}));
  if (!config.attends[static_cast<size_t>(index)]) {
    RAPID_TRY(
        ShortConvMixer conv,
        ShortConvMixer::load(
            layer.scope("conv"), config.conv, std::move(before)));
    states.push_back({.rule = conv.rule()});
    return state_part(std::move(conv), index);
  }
  RAPID_TRY(
      SelfAttention attention,
      SelfAttention::load(
          layer.scope("self_attn"),
          {.hidden = s.hidden,
           .heads = s.heads,
           .kv_heads = s.kv_heads,
           .head_dim = s.head_dim,
           .head_norm = RmsNormOptions{s.head_dim, s.norm_eps},
           .rope = config.rope,
           .scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim))},
          {std::move(before), std::nullopt}));
  states.push_back(
      {.heads = s.kv_heads, .dim = s.head_dim, .border = config.rope.border});
  return state_part(std::move(attention), index);
}

Result<std::unique_ptr<Model>> load_lfm2(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const Lfm2Config config, read_config(*files));
  const DecoderConfig& shape = config.shape;
  RAPID_TRY(
      auto map,
      WeightMap::open(
          files,
          options.exact,
          {{"self_attn.out_proj", "self_attn.o_proj"},
           {"q_layernorm", "q_norm"},
           {"k_layernorm", "k_norm"},
           {".w1.", ".gate_proj."},
           {".w3.", ".up_proj."},
           {".w2.", ".down_proj."},
           {"model.embedding_norm", "model.norm"},
           // GGUF:
           {"token_embd_norm", "model.norm"},
           {"blk.", "model.layers."},
           {".shortconv.conv.", ".conv.conv."},
           {".shortconv.", ".conv."},
           {".input_layernorm.", ".operator_norm."},
           {".post_attention_layernorm.", ".ffn_norm."},
           {".mlp.", ".feed_forward."}}));
  const WeightCursor root(*map);
  const WeightCursor model = root.scope("model");
  RAPID_TRY(DecoderSpine spine, DecoderSpine::load(*files, shape, root, model));
  if (config.experts) {
    spine.info.row_floats += moe_row_floats(*config.experts);
  }
  std::vector<std::vector<LayerPart>> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const WeightCursor layer = layer_scope(model, i);
    RAPID_TRY(LayerPart mixer, load_mixer(layer, config, i, spine.states));
    RAPID_TRY(LayerPart feed, load_feed_forward(layer, config, i));
    layers.push_back({std::move(mixer), std::move(feed)});
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<PartsDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_lfm2(ModelRegistry& registry) {
  registry.add({"lfm2", "lfm2_moe", "lfm2moe"}, load_lfm2);
}

}  // namespace rapid
