// Nemotron-H and Nemotron 3: layers of one part each behind a norm, by a
// pattern: Mamba2, attention without rotation, an MLP of squared ReLU, or
// experts of it beside a shared one.
//
// Quirks: a layer of the pattern is M, *, - or E; the reference never lets a
// time step under time_step_min, of which GGUF knows nothing. GGUF tells the
// layers apart by the tensors that they have.
#include <cmath>

#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/nemotron_latent.h"
#include "models/registry.h"
#include "nn/mamba2_mixer.h"

namespace rapid {

namespace {

enum class Kind { mamba, attention, mlp, experts };

struct NemotronConfig {
  DecoderConfig shape;
  Mamba2Options mamba;
  MoeOptions experts;
  int latent = 0;  // width that the experts see, if not the model's
  Bias attention_bias = Bias::if_present;
  Bias mlp_bias = Bias::none;
  std::vector<Kind> kinds;  // by layer
};

// Checkpoints may leave out what equals transformers' NemotronHConfig.
Json with_defaults(const Json& config) {
  Json out = {
      {"vocab_size", 131072},
      {"hidden_size", 4096},
      {"num_attention_heads", 32},
      {"num_key_value_heads", 8},
      {"head_dim", 128},
      {"max_position_embeddings", 4096},
      {"intermediate_size", 21504},
      {"mlp_hidden_act", "relu2"},
      {"ssm_state_size", 128},
      {"mamba_num_heads", 128},
      {"mamba_head_dim", 64},
      {"n_groups", 8},
      {"conv_kernel", 4},
      {"time_step_min", 0.001},
      {"n_routed_experts", 8},
      {"n_shared_experts", 1},
      {"moe_intermediate_size", 7688},
      {"moe_shared_expert_intermediate_size", 7688},
      {"num_experts_per_tok", 2},
      {"layer_norm_epsilon", 1e-5}};
  out.update(config);
  out["rms_norm_eps"] = out["layer_norm_epsilon"];
  return out;
}

// GGUF's metadata under config.json's keys.
void add_gguf(const ModelFiles& files, Json& config) {
  const auto number = [&](const char* key) {
    const auto found = files.gguf->number(files.architecture + "." + key);
    return found ? static_cast<int64_t>(*found) : 0;
  };
  const int64_t heads = number("ssm.time_step_rank");
  config["mamba_num_heads"] = heads;
  config["mamba_head_dim"] = heads > 0 ? number("ssm.inner_size") / heads : 0;
  config["n_groups"] = number("ssm.group_count");
  config["ssm_state_size"] = number("ssm.state_size");
  config["conv_kernel"] = number("ssm.conv_kernel");
  config["time_step_min"] = 0.0;
  config["layer_norm_epsilon"] = config.value("rms_norm_eps", Json(1e-5));
  // Lists of which the layers of other kinds have none.
  for (const auto* key : {"num_key_value_heads", "intermediate_size"}) {
    const Json list = config.value(key, Json());
    if (list.is_array()) {
      config[key] = 1;
    }
    for (const Json& count : list.is_array() ? list : Json::array()) {
      if (count != 0) {
        config[key] = count;
      }
    }
  }
  config["n_routed_experts"] = config.value("num_experts", Json(8));
  config["moe_shared_expert_intermediate_size"] =
      config.value("shared_expert_intermediate_size", Json(7688));
  if (const int64_t latent = number("moe_latent_size")) {
    config["moe_latent_size"] = latent;
  }
  std::string pattern(config.value("num_hidden_layers", size_t{0}), 'M');
  for (const TensorView& tensor : files.tensors) {
    for (const auto& [part, letter] :
         {std::pair{".attn_q.weight", '*'},
          std::pair{".ffn_gate_inp.weight", 'E'},
          std::pair{".ffn_up.weight", '-'}}) {
      const std::string_view name = tensor.name;
      const auto layer = static_cast<size_t>(
          name.starts_with("blk.") ? std::atoi(name.data() + 4) : -1);
      if (layer < pattern.size() && name.ends_with(part)) {
        pattern[layer] = letter;
      }
    }
  }
  config["hybrid_override_pattern"] = pattern;
}

std::optional<Kind> kind_of(const std::string& name) {
  if (name == "M" || name == "linear_attention" || name == "mamba") {
    return Kind::mamba;
  }
  if (name == "*" || name == "full_attention" || name == "attention") {
    return Kind::attention;
  }
  if (name == "-" || name == "mlp") {
    return Kind::mlp;
  }
  if (name == "E" || name == "moe") {
    return Kind::experts;
  }
  return std::nullopt;
}

Result<std::vector<Kind>> read_kinds(const Json& config) {
  const ConfigReader in(config);
  std::vector<std::string> names;
  for (const auto* key :
       {"layers_block_type", "layer_types", "hybrid_override_pattern"}) {
    const Json& value = in.at(key);
    if (!names.empty()) {
      break;
    }
    if (value.is_string()) {
      for (const char letter : value.get<std::string>()) {
        names.emplace_back(1, letter);
      }
    } else if (value.is_array()) {
      for (const Json& name : value) {
        names.push_back(name.is_string() ? name.get<std::string>() : "");
      }
    }
  }
  std::vector<Kind> out;
  for (const std::string& name : names) {
    const auto kind = kind_of(name);
    if (!kind) {
      return Error{
          ErrorCode::unsupported,
          "model configuration: layer type \"" + name + "\"",
          "known: M mamba, * attention, - mlp, E moe",
          "hybrid_override_pattern"};
    }
    out.push_back(*kind);
  }
  if (out.empty()) {
    return Error{
        ErrorCode::corrupt,
        "model configuration: expected hybrid_override_pattern",
        "the model's config.json is incomplete",
        "hybrid_override_pattern"};
  }
  return out;
}

Status read_mamba(const ConfigReader& in, NemotronConfig& out) {
  Mamba2Options& mamba = out.mamba;
  mamba.hidden = out.shape.hidden;
  mamba.norm_eps = out.shape.norm_eps;
  mamba.bias = in.flag_or("use_bias", false) ? Bias::required : Bias::none;
  RAPID_TRY(mamba.shape.heads, in.count("mamba_num_heads"));
  RAPID_TRY(mamba.shape.head_dim, in.count("mamba_head_dim"));
  RAPID_TRY(mamba.shape.groups, in.count("n_groups"));
  RAPID_TRY(mamba.shape.state_dim, in.count("ssm_state_size"));
  RAPID_TRY(mamba.shape.kernel, in.count("conv_kernel"));
  RAPID_TRY(mamba.dt_min, in.number_or("time_step_min", 0.001f));
  if (mamba.shape.heads % mamba.shape.groups != 0) {
    return Error{
        ErrorCode::corrupt,
        "model configuration: expected n_groups to divide mamba_num_heads",
        "the model's config.json is damaged",
        "n_groups"};
  }
  return {};
}

Status read_experts(const ConfigReader& in, NemotronConfig& out) {
  MoeOptions& moe = out.experts;
  moe.hidden = out.shape.hidden;
  moe.score = RouterScore::sigmoid;
  moe.correction = Bias::required;
  moe.activation.kind = Gating::squared_relu_up;
  moe.shared_bias = out.mlp_bias;  // the experts have none
  RAPID_TRY(moe.inner, in.count("moe_intermediate_size"));
  RAPID_TRY(moe.experts, in.count("n_routed_experts"));
  RAPID_TRY(moe.top_k, in.count("num_experts_per_tok"));
  RAPID_TRY(moe.groups, in.count_or("n_group", 1));
  RAPID_TRY(moe.top_groups, in.count_or("topk_group", 1));
  moe.renormalise = in.flag_or("norm_topk_prob", true);
  RAPID_TRY(moe.scale, in.number_or("routed_scaling_factor", 1.0f));
  RAPID_TRY(moe.shared_inner, in.count("moe_shared_expert_intermediate_size"));
  RAPID_TRY(out.latent, in.count_or("moe_latent_size", 0));
  return {};
}

Result<NemotronConfig> read_config(const ModelFiles& files) {
  RAPID_TRY(Json config, model_config(files));
  if (files.container == ModelFiles::Container::gguf) {
    add_gguf(files, config);
  }
  config = with_defaults(config);
  NemotronConfig out;
  RAPID_TRY(out.kinds, read_kinds(config));
  config["num_hidden_layers"] = out.kinds.size();
  const ConfigReader in(config);
  if (in.at("mlp_hidden_act") != "relu2") {
    return Error{
        ErrorCode::unsupported,
        "model configuration: expected mlp_hidden_act = relu2, got " +
            dump_json(in.at("mlp_hidden_act")),
        "this build does not know that variant of the architecture",
        "mlp_hidden_act"};
  }
  RAPID_TRY(out.shape, read_decoder_config(config));
  out.shape.tied.reset();  // the reference never ties: the file tells
  const auto bias = [&](const char* key) {
    return in.flag_or(key, false) ? Bias::required : Bias::none;
  };
  out.mlp_bias = bias("mlp_bias");
  RAPID_CHECK(read_mamba(in, out));
  if (std::ranges::find(out.kinds, Kind::experts) != out.kinds.end()) {
    RAPID_CHECK(read_experts(in, out));
    RAPID_CHECK(check_experts(out.experts));
  }
  return out;
}

Result<LayerPart> load_attention(
    const WeightCursor& mixer,
    const NemotronConfig& config,
    RmsNorm before,
    std::vector<KvLayer>& states) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      SelfAttention attention,
      SelfAttention::load(
          mixer,
          {.hidden = s.hidden,
           .heads = s.heads,
           .kv_heads = s.kv_heads,
           .head_dim = s.head_dim,
           .qkv_bias = config.attention_bias,
           .output_bias = config.attention_bias,
           .scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim))},
          {std::move(before), std::nullopt}));
  const auto state = static_cast<int>(states.size());
  states.push_back({s.kv_heads, s.head_dim, 0});
  return state_part(std::move(attention), state);
}

// Only what mixes tokens has a state.
Result<LayerPart> load_layer(
    const WeightCursor& layer,
    const NemotronConfig& config,
    Kind kind,
    std::vector<KvLayer>& states) {
  const DecoderConfig& s = config.shape;
  RAPID_TRY(
      RmsNorm before, load_rms_norm(layer, "norm", {s.hidden, s.norm_eps}));
  const WeightCursor mixer = layer.scope("mixer");
  if (kind == Kind::attention) {
    return load_attention(mixer, config, std::move(before), states);
  }
  if (kind == Kind::mlp) {
    RAPID_TRY(
        ReluMlp mlp,
        load_relu_mlp(mixer, {s.hidden, s.inner, config.mlp_bias}, before));
    return LayerPart(
        [mlp = std::move(mlp)](const mx::array& x, const RaggedBatch&) {
          return mlp(x, x);
        });
  }
  if (kind == Kind::experts && config.latent > 0) {
    return load_latent_experts(
        mixer, {config.experts, config.latent, config.mlp_bias}, before);
  }
  if (kind == Kind::experts) {
    RAPID_TRY(
        Moe moe,
        Moe::load(mixer, config.experts, {std::move(before), std::nullopt}));
    return rows_part(std::move(moe));
  }
  RAPID_TRY(
      Mamba2Mixer mamba,
      Mamba2Mixer::load(mixer, config.mamba, std::move(before)));
  const auto state = static_cast<int>(states.size());
  states.push_back({.rule = mamba.rule()});
  return state_part(std::move(mamba), state);
}

int row_floats(const NemotronConfig& config) {
  const DecoderConfig& s = config.shape;
  const Mamba2Shape& m = config.mamba.shape;
  const int attention = 4 * s.heads * s.head_dim + 2 * s.kv_heads * s.head_dim;
  return std::max({attention, m.width() + m.inner(), 2 * s.inner}) +
         3 * s.hidden;
}

Result<std::unique_ptr<Model>> load_nemotron_h(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const NemotronConfig config, read_config(*files));
  RAPID_TRY(
      auto map,
      WeightMap::open(
          files,
          options.exact,
          {{"backbone.", "model."},
           {"model.embeddings.", "model.embed_tokens."},
           {"model.norm_f.", "model.norm."},
           {"switch_mlp.fc1", "switch_mlp.up_proj"},
           {"switch_mlp.fc2", "switch_mlp.down_proj"},
           // GGUF:
           {"blk.", "model.layers."},
           {".input_layernorm.", ".norm."},
           {".self_attn.", ".mixer."},
           {".mlp.", ".mixer."},
           {".ffn_latent_down.", ".mixer.fc1_latent_proj."},
           {".ffn_latent_up.", ".mixer.fc2_latent_proj."},
           {".ssm_in.", ".mixer.in_proj."},
           {".ssm_conv1d.", ".mixer.conv1d."},
           {".ssm_dt.bias", ".mixer.dt_bias"},
           {".ssm_norm.", ".mixer.norm."},
           {".ssm_out.", ".mixer.out_proj."},
           {".ssm_a", ".mixer.A"},
           {".ssm_d", ".mixer.D"}}));
  for (const TensorView& tensor : files->tensors) {
    if (tensor.name.starts_with("mtp.")) {
      map->ignore(tensor.name);  // the head that predicts several tokens
    }
  }
  const WeightCursor root(*map);
  const WeightCursor model = root.scope("model");
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(*files, config.shape, root, model));
  spine.info.row_floats = row_floats(config);
  std::vector<std::vector<LayerPart>> layers;
  for (int i = 0; i < config.shape.layers; ++i) {
    RAPID_TRY(
        LayerPart part,
        load_layer(
            layer_scope(model, i),
            config,
            config.kinds[static_cast<size_t>(i)],
            spine.states));
    layers.push_back({std::move(part)});
  }
  RAPID_CHECK(finish_weights(*map, *files, config.shape));
  return std::unique_ptr<Model>(
      std::make_unique<PartsDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_nemotron_h(ModelRegistry& registry) {
  registry.add({"nemotron_h", "nemotron_h_moe"}, load_nemotron_h);
}

}  // namespace rapid
