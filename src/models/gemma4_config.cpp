#include "models/gemma4_config.h"

#include <algorithm>
#include <map>

#include "models/block_decoder.h"
#include "models/gguf_config.h"

namespace rapid {

namespace {

// What checkpoints leave out (transformers' Gemma4TextConfig and, without
// parts of tokens, Gemma4UnifiedTextConfig).
Json family_defaults(const Json& config) {
  const auto kind = config.value("model_type", "");
  const bool unified = kind.starts_with("gemma4_unified");
  return {
      {"vocab_size", 262144},
      {"hidden_size", 2304},
      {"intermediate_size", 9216},
      {"num_hidden_layers", 30},
      {"num_attention_heads", 8},
      {"num_key_value_heads", 4},
      {"head_dim", 256},
      {"global_head_dim", 512},
      {"max_position_embeddings", unified ? 262144 : 131072},
      {"sliding_window", unified ? 1024 : 512},
      {"vocab_size_per_layer_input", 262144},
      {"hidden_size_per_layer_input", unified ? 0 : 256},
      {"tie_word_embeddings", true},
      {"eos_token_id", 1},
      {"rope_parameters",
       {{"sliding_attention", {{"rope_theta", 1e4}}},
        {"full_attention",
         {{"rope_type", "proportional"},
          {"partial_rotary_factor", 0.25},
          {"rope_theta", 1e6}}}}}};
}

// The layer's own number of a list, or the one that holds for all.
Json item(const Json& value, size_t layer) {
  if (!value.is_array()) {
    return value;
  }
  return layer < value.size() ? value[layer] : Json();
}

// GGUF's metadata in the same form. Its lists become per_layer_config.
Result<Json> from_gguf(const ModelFiles& files) {
  RAPID_TRY(Json config, config_from_gguf(files));
  const ConfigReader in(config);
  const GgufFile& gguf = *files.gguf;
  const std::string prefix = files.architecture + ".";
  const auto number = [&](const char* key, int fallback) {
    return static_cast<int>(
        gguf.number(prefix + key).value_or(static_cast<double>(fallback)));
  };
  RAPID_TRY(const int layers, in.count("num_hidden_layers"));
  RAPID_TRY(const int wide, in.count("head_dim"));
  RAPID_TRY(const std::vector<bool> slides, sliding_layers(config, layers, 6));
  const Json& kv_heads = in.at("num_key_value_heads");
  const Json& inner = in.at("intermediate_size");
  Json kinds = Json::array();
  Json each = Json::object();
  for (int i = 0; i < layers; ++i) {
    const auto at = static_cast<size_t>(i);
    const bool slide = slides[at];
    kinds.push_back(slide ? "sliding_attention" : "full_attention");
    Json& one = each[std::to_string(i)];
    one["head_dim"] = slide ? number("attention.key_length_swa", wide) : wide;
    one["num_key_value_heads"] = item(kv_heads, at);
    one["intermediate_size"] = item(inner, at);
  }
  const Json first = each["0"];
  config.update(
      {{"layer_types", kinds},
       {"per_layer_config", each},
       {"num_key_value_heads", first["num_key_value_heads"]},
       {"intermediate_size", first["intermediate_size"]},
       {"num_kv_shared_layers", number("attention.shared_kv_layers", 0)},
       {"hidden_size_per_layer_input",
        number("embedding_length_per_layer_input", 0)},
       {"vocab_size_per_layer_input", config["vocab_size"]}});
  if (in.has("num_experts")) {
    config["enable_moe_block"] = true;
    config["top_k_experts"] = in.at("num_experts_per_tok");
  }
  config["rope_parameters"] = {
      {"sliding_attention",
       {{"rope_theta", number("rope.freq_base_swa", 10000)}}},
      {"full_attention", {{"rope_theta", number("rope.freq_base", 1000000)}}}};
  // The divisors of the tensor are for the full layers alone.
  const ConfigReader scaling(in.at("rope_scaling"));
  if (scaling.has("frequency_factors")) {
    config["rope_parameters"]["full_attention"]["frequency_factors"] =
        scaling.at("frequency_factors");
  }
  for (const auto* key :
       {"rope_scaling", "rope_theta", "partial_rotary_factor"}) {
    config.erase(key);
  }
  return config;
}

Error unsupported(const char* key, const char* what) {
  return {
      ErrorCode::unsupported,
      std::string("model configuration: ") + key + ": " + what +
          " not supported",
      "this build does not know that variant of the architecture",
      key};
}

Status check_variant(const Json& config) {
  const ConfigReader in(config);
  RAPID_CHECK(check_activation(config, "gelu_pytorch_tanh"));
  if (in.at("use_bidirectional_attention") == "all") {
    return unsupported(
        "use_bidirectional_attention", "attention in both directions is");
  }
  return {};
}

// The overrides of one layer: "5" or, padded, "05".
ConfigReader overrides(const Json& config, int layer) {
  static const Json none;
  const auto all = config.find("per_layer_config");
  if (all != config.end() && all->is_object()) {
    for (const auto& [key, value] : all->items()) {
      if (std::atoi(key.c_str()) == layer) {
        return ConfigReader(value);
      }
    }
  }
  return ConfigReader(none);
}

Status read_shape_of_layer(
    const Json& config, int index, bool sliding, Gemma4Layer& out) {
  const ConfigReader in(config);
  const ConfigReader own = overrides(config, index);
  const bool listed = in.has("per_layer_config");
  RAPID_TRY(out.head_dim, in.count("head_dim"));
  RAPID_TRY(out.kv_heads, in.count("num_key_value_heads"));
  RAPID_TRY(out.inner, in.count("intermediate_size"));
  if (!sliding && !listed) {
    RAPID_TRY(out.head_dim, in.count_or("global_head_dim", out.head_dim));
    if (in.flag_or("attention_k_eq_v", false)) {
      RAPID_TRY(
          out.kv_heads,
          in.count_or("num_global_key_value_heads", out.kv_heads));
    }
  }
  RAPID_TRY(out.head_dim, own.count_or("head_dim", out.head_dim));
  RAPID_TRY(out.kv_heads, own.count_or("num_key_value_heads", out.kv_heads));
  if (out.shared && in.flag_or("use_double_wide_mlp", false)) {
    out.inner *= 2;
  }
  RAPID_TRY(out.inner, own.count_or("intermediate_size", out.inner));
  return {};
}

Status read_layers(const Json& config, int context, Gemma4Config& out) {
  const ConfigReader in(config);
  const int layers = out.shape.layers;
  RAPID_TRY(std::vector<bool> sliding, sliding_layers(config, layers, 6));
  sliding.back() = false;  // the last layer is always full
  RAPID_TRY(const int shared, in.number_or("num_kv_shared_layers", 0.0f));
  const int own = layers - shared;
  std::map<bool, int> owner;  // the last layer of a kind with keys of its own
  for (int i = 0; i < layers; ++i) {
    const bool slides = sliding[static_cast<size_t>(i)];
    Gemma4Layer next{.shared = i >= own, .state = i};
    if (!next.shared) {
      owner[slides] = i;
    } else if (!owner.contains(slides)) {
      return unsupported("num_kv_shared_layers", "keys from nowhere are");
    }
    next.state = owner[slides];
    next.window = slides ? out.shape.sliding_window : 0;
    next.key_is_value = !slides && in.flag_or("attention_k_eq_v", false);
    RAPID_CHECK(read_shape_of_layer(config, i, slides, next));
    RAPID_TRY(
        next.rope,
        read_rope(
            config,
            {.base = slides ? 1e4f : 1e6f,
             .head_dim = next.head_dim,
             .kind = slides ? "sliding_attention" : "full_attention",
             .context = context}));
    out.layers.push_back(std::move(next));
  }
  return {};
}

}  // namespace

Result<Gemma4Config> read_gemma4_config(const ModelFiles& files, int context) {
  const bool gguf = files.container == ModelFiles::Container::gguf;
  Json config;
  if (gguf) {
    RAPID_TRY(config, from_gguf(files));
  } else {
    config = text_config(files.config);
    config = with_defaults(config, family_defaults(config));
  }
  RAPID_CHECK(check_variant(config));
  const ConfigReader in(config);
  Gemma4Config out;
  RAPID_TRY(out.shape, read_decoder_config(config));
  RAPID_CHECK(read_layers(config, context, out));
  if (in.flag_or("enable_moe_block", false)) {
    RAPID_TRY(out.experts, in.count("num_experts"));
    RAPID_TRY(out.top_k, in.count("top_k_experts"));
    RAPID_TRY(out.expert_inner, in.count("moe_intermediate_size"));
  }
  for (int i = 0; gguf && i < out.shape.layers; ++i) {
    const auto name = "blk." + std::to_string(i) + ".attn_v.weight";
    out.layers[static_cast<size_t>(i)].key_is_value = std::ranges::none_of(
        files.tensors, [&](const TensorView& t) { return t.name == name; });
  }
  for (const Gemma4Layer& layer : out.layers) {
    out.shape.head_dim = std::max(out.shape.head_dim, layer.head_dim);
    if (out.shape.heads % layer.kv_heads != 0) {
      return unsupported("num_global_key_value_heads", "uneven groups are");
    }
  }
  RAPID_TRY(
      const float part, in.number_or("hidden_size_per_layer_input", 0.0f));
  out.token_part = static_cast<int>(part);
  RAPID_TRY(
      out.token_rows,
      in.count_or("vocab_size_per_layer_input", out.shape.vocabulary));
  out.bias = bias_of(config, "attention_bias");
  RAPID_TRY(out.logit_softcap, in.number_or("final_logit_softcapping", 0.0f));
  return out;
}

}  // namespace rapid
