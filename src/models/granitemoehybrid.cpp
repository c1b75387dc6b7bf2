// Granite 4 hybrids: Mamba2 layers with attention in between, each with a gated
// MLP or experts beside a shared one. Four multipliers scale the embedding,
// every part's result, attention's scores and the logits.
//
// Here the residual stream runs divided by the residual multiplier m: parts add
// to it as they are, norms see the same up to eps / m^2.
//
// Quirks: GGUF holds q and k permuted, as Llama's do, and tells the layers
// apart by their heads of keys and values.
#include <cmath>

#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"
#include "nn/mamba2_mixer.h"
#include "nn/moe.h"

namespace rapid {

namespace {

struct GraniteConfig {
  DecoderConfig shape;
  Mamba2Options mamba;
  std::optional<MoeOptions> experts;
  int shared_inner = 0;
  RopeOptions rope;
  Bias attention_bias = Bias::none;
  bool paired_rows = false;
  float attention_scale = 1;
  float embedding_scale = 1;
  float residual_scale = 1;
  float logits_divisor = 1;
  std::vector<bool> attends;  // by layer
};

// Checkpoints may leave out what equals transformers' GraniteMoeHybridConfig.
Json with_defaults(const Json& config) {
  Json out = {
      {"intermediate_size", 11008},
      {"num_attention_heads", 32},
      {"max_position_embeddings", 2048},
      {"num_local_experts", 8},
      {"num_experts_per_tok", 2},
      {"shared_intermediate_size", 1024},
      {"mamba_n_heads", 128},
      {"mamba_n_groups", 1},
      {"mamba_d_state", 256},
      {"mamba_d_conv", 4},
      {"mamba_expand", 2}};
  out.update(config);
  return out;
}

// GGUF's metadata under config.json's keys.
void add_gguf(const ModelFiles& files, Json& config) {
  const GgufFile& gguf = *files.gguf;
  const std::string prefix = files.architecture + ".";
  const auto take = [&](const char* key, const char* name) {
    if (const auto found = gguf.number(prefix + key)) {
      config[name] = *found;
    }
  };
  take("attention.scale", "attention_multiplier");
  take("embedding_scale", "embedding_multiplier");
  take("residual_scale", "residual_multiplier");
  take("logit_scale", "logits_scaling");
  const auto whole = [&](const char* key) {
    return static_cast<int64_t>(gguf.number(prefix + key).value_or(0));
  };
  config["mamba_n_heads"] = whole("ssm.time_step_rank");
  config["mamba_n_groups"] = whole("ssm.group_count");
  config["mamba_d_state"] = whole("ssm.state_size");
  config["mamba_d_conv"] = whole("ssm.conv_kernel");
  if (const int64_t width = whole("embedding_length")) {
    config["mamba_expand"] = whole("ssm.inner_size") / width;
  }
  config["num_local_experts"] = config.value("num_experts", Json(0));
  config["shared_intermediate_size"] = config.value(
      "shared_expert_intermediate_size",
      config.value("intermediate_size", Json()));
  const auto rotates = gguf.metadata().find(prefix + "rope.scaling.finetuned");
  const bool rope = rotates == gguf.metadata().end() ||
                    !std::holds_alternative<bool>(rotates->second) ||
                    std::get<bool>(rotates->second);
  config["position_embedding_type"] = rope ? "rope" : "nope";
  const Json heads = config.value("num_key_value_heads", Json());
  if (!heads.is_array()) {
    return;
  }
  Json kinds = Json::array();
  for (const Json& count : heads) {
    kinds.push_back(count == 0 ? "mamba" : "attention");
    if (count != 0) {
      config["num_key_value_heads"] = count;
    }
  }
  config["layer_types"] = std::move(kinds);
}

Status read_mamba(const ConfigReader& in, GraniteConfig& out) {
  Mamba2Options& mamba = out.mamba;
  mamba.hidden = out.shape.hidden;
  mamba.norm_eps = out.shape.norm_eps;
  mamba.bias =
      in.flag_or("mamba_proj_bias", false) ? Bias::required : Bias::none;
  RAPID_TRY(mamba.shape.heads, in.count("mamba_n_heads"));
  RAPID_TRY(mamba.shape.groups, in.count("mamba_n_groups"));
  RAPID_TRY(mamba.shape.state_dim, in.count("mamba_d_state"));
  RAPID_TRY(mamba.shape.kernel, in.count("mamba_d_conv"));
  RAPID_TRY(const int expand, in.count("mamba_expand"));
  mamba.shape.head_dim = expand * out.shape.hidden / mamba.shape.heads;
  if (mamba.shape.heads % mamba.shape.groups != 0 ||
      mamba.shape.inner() != expand * out.shape.hidden) {
    return Error{
        ErrorCode::corrupt,
        "model configuration: mamba_n_heads does not fit the width or groups",
        "the model's config.json is damaged",
        "mamba_n_heads"};
  }
  const Json& limit = in.at("time_step_limit");
  if (limit.is_array() && limit.size() == 2) {
    mamba.dt_min = limit[0].is_number() ? limit[0].get<float>() : 0.0f;
    mamba.dt_max = limit[1].is_number() ? limit[1].get<float>() : mamba.dt_max;
  }
  return {};
}

Status read_experts(const ConfigReader& in, GraniteConfig& out) {
  RAPID_TRY(out.shared_inner, in.count("shared_intermediate_size"));
  if (in.at("num_local_experts") == 0) {
    return {};
  }
  MoeOptions moe{.hidden = out.shape.hidden, .inner = out.shape.inner};
  RAPID_TRY(moe.experts, in.count("num_local_experts"));
  RAPID_TRY(moe.top_k, in.count("num_experts_per_tok"));
  moe.score = RouterScore::softmax_of_chosen;
  moe.shared_inner = out.shared_inner;
  RAPID_CHECK(check_experts(moe));
  out.experts = moe;
  return {};
}

Status read_scales(const ConfigReader& in, GraniteConfig& out) {
  RAPID_TRY(out.attention_scale, in.number_or("attention_multiplier", 1.0f));
  RAPID_TRY(out.embedding_scale, in.number_or("embedding_multiplier", 1.0f));
  RAPID_TRY(out.residual_scale, in.number_or("residual_multiplier", 1.0f));
  RAPID_TRY(out.logits_divisor, in.number_or("logits_scaling", 1.0f));
  if (!(out.residual_scale > 0) || !(out.logits_divisor > 0)) {
    return Error{
        ErrorCode::unsupported,
        "model configuration: expected multipliers above 0",
        "this build does not know that variant of the architecture",
        "residual_multiplier"};
  }
  out.embedding_scale /= out.residual_scale;
  // See above.
  out.shape.norm_eps /= out.residual_scale * out.residual_scale;
  return {};
}

Result<GraniteConfig> read_config(const ModelFiles& files) {
  const bool gguf = files.container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(files));
  if (gguf) {
    add_gguf(files, config);
  }
  config = with_defaults(config);
  const ConfigReader in(config);
  GraniteConfig out;
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(out.shape, read_decoder_config(config));
  const Json& kinds =
      in.has("layer_types") ? in.at("layer_types") : in.at("layers_block_type");
  for (int i = 0; i < out.shape.layers; ++i) {
    const auto at = static_cast<size_t>(i);
    const Json kind =
        kinds.is_array() && at < kinds.size() ? kinds[at] : Json();
    out.attends.push_back(kind == "attention" || kind == "full_attention");
  }
  if (in.at("position_embedding_type") == "rope") {
    RAPID_TRY(out.rope, rope_of_model(config, 10000.0f, out.shape.head_dim));
    out.rope.interleaved = gguf;
  }
  out.paired_rows = gguf;
  out.attention_bias =
      in.flag_or("attention_bias", false) ? Bias::required : Bias::none;
  RAPID_CHECK(read_mamba(in, out));
  RAPID_CHECK(read_experts(in, out));
  RAPID_CHECK(read_scales(in, out));
  return out;
}

Result<LayerPart> load_mixer(
    const WeightCursor& layer,
    const GraniteConfig& config,
    int index,
    std::vector<KvLayer>& states) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before,
      load_rms_norm(layer, "input_layernorm", {s.hidden, s.norm_eps}));
  if (!config.attends[static_cast<size_t>(index)]) {
    RAPID_TRY(
        Mamba2Mixer mamba,
        Mamba2Mixer::load(
            layer.scope("mamba"), config.mamba, std::move(before)));
    states.push_back({.rule = mamba.rule()});
    return state_part(std::move(mamba), index);
  }
  RAPID_TRY(
      SelfAttention attention,
      SelfAttention::load(
          layer.scope("self_attn"),
          {.hidden = s.hidden,
           .heads = s.heads,
           .kv_heads = s.kv_heads,
           .head_dim = s.head_dim,
           .qkv_bias = config.attention_bias,
           .output_bias = config.attention_bias,
           .rope = config.rope,
           .scale = config.attention_scale,
           .paired_rows = config.paired_rows},
          {std::move(before), std::nullopt}));
  states.push_back(
      {.heads = s.kv_heads, .dim = s.head_dim, .border = config.rope.border});
  return state_part(std::move(attention), index);
}

Result<LayerPart> load_feed_forward(
    const WeightCursor& layer, const GraniteConfig& config) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before,
      load_rms_norm(layer, "post_attention_layernorm", {s.hidden, s.norm_eps}));
  if (config.experts) {
    RAPID_TRY(
        Moe moe,
        Moe::load(
            layer.scope("mlp"),
            *config.experts,
            {std::move(before), std::nullopt}));
    return rows_part(std::move(moe));
  }
  const WeightCursor scope = layer.scope("mlp");
  RAPID_TRY(
      Mlp mlp,
      Mlp::load(
          scope,
          {.hidden = s.hidden,
           .inner = config.shared_inner,
           .activation = Activation::silu,
           .fused = scope.has("gate_up_proj.weight") ? "gate_up_proj" : ""},
          {std::move(before), std::nullopt}));
  return rows_part(std::move(mlp));
}

Renames names_of(const GraniteConfig& config) {
  Renames out = {
      {"block_sparse_moe.router.layer.", "mlp.gate."},
      {"block_sparse_moe.router.", "mlp.gate."},
      {"block_sparse_moe.input_linear.weight", "mlp.experts.gate_up_proj"},
      {"block_sparse_moe.output_linear.weight", "mlp.experts.down_proj"},
      {"block_sparse_moe.", "mlp."},
      // GGUF:
      {"blk.", "model.layers."},
      {".ssm_in.", ".mamba.in_proj."},
      {".ssm_conv1d.", ".mamba.conv1d."},
      {".ssm_dt.bias", ".mamba.dt_bias"},
      {".ssm_norm.", ".mamba.norm."},
      {".ssm_out.", ".mamba.out_proj."},
      {".ssm_a", ".mamba.A"},
      {".ssm_d", ".mamba.D"}};
  const bool sparse = config.experts.has_value();
  out.push_back(
      {"shared_mlp.input_linear.",
       sparse ? "mlp.shared_experts.gate_up_proj." : "mlp.gate_up_proj."});
  out.push_back(
      {"shared_mlp.output_linear.",
       sparse ? "mlp.shared_experts.down_proj." : "mlp.down_proj."});
  return out;
}

Result<std::unique_ptr<Model>> load_granite(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const GraniteConfig config, read_config(*files));
  const DecoderConfig& shape = config.shape;
  RAPID_TRY(auto map, WeightMap::open(files, options.exact, names_of(config)));
  const WeightCursor root(*map);
  const WeightCursor model = root.scope("model");
  RAPID_TRY(DecoderSpine spine, DecoderSpine::load(*files, shape, root, model));
  spine.embedding_scale = config.embedding_scale;
  auto head = std::make_shared<Projection>(*spine.head);
  head->before->weight =
      mx::divide(head->before->weight, mx::array(config.logits_divisor));
  head->before->weight.eval();
  spine.head = std::move(head);
  const Mamba2Shape& m = config.mamba.shape;
  spine.info.row_floats =
      std::max(spine.info.row_floats, m.width() + m.inner() + 3 * shape.hidden);
  if (config.experts) {
    spine.info.row_floats += moe_row_floats(*config.experts);
  }
  std::vector<std::vector<LayerPart>> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const WeightCursor layer = layer_scope(model, i);
    RAPID_TRY(LayerPart mixer, load_mixer(layer, config, i, spine.states));
    RAPID_TRY(LayerPart feed, load_feed_forward(layer, config));
    layers.push_back({std::move(mixer), std::move(feed)});
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<PartsDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_granitemoehybrid(ModelRegistry& registry) {
  registry.add({"granitemoehybrid", "granitehybrid"}, load_granite);
}

}  // namespace rapid
