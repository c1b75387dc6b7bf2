#include "models/gemma3n_config.h"

#include <cmath>
#include <map>

#include "models/block_decoder.h"

namespace rapid {

namespace {

Json family_defaults() {
  return {
      {"vocab_size", 262400},
      {"hidden_size", 2048},
      {"intermediate_size", 16384},
      {"num_hidden_layers", 35},
      {"num_attention_heads", 8},
      {"num_key_value_heads", 2},
      {"head_dim", 256},
      {"max_position_embeddings", 32768},
      {"sliding_window", 512},
      {"vocab_size_per_layer_input", 262144},
      {"hidden_size_per_layer_input", 256},
      {"num_kv_shared_layers", 15},
      {"altup_active_idx", 0},
      {"altup_num_inputs", 4},
      {"laurel_rank", 64},
      {"final_logit_softcapping", 30.0},
      {"tie_word_embeddings", true},
      {"eos_token_id", 1}};
}

// One rotation for each kind of layer, however it is said.
void name_rotations(Json& config) {
  if (config.contains("rope_parameters") &&
      config["rope_parameters"].is_object()) {
    return;
  }
  Json full = {{"rope_theta", config.value("rope_theta", 1e6)}};
  if (config.contains("rope_scaling") && config["rope_scaling"].is_object()) {
    full.update(config["rope_scaling"]);
  }
  config["rope_parameters"] = {
      {"full_attention", full},
      {"sliding_attention",
       {{"rope_theta", config.value("rope_local_base_freq", 1e4)}}}};
  config.erase("rope_scaling");
  config.erase("rope_theta");
}

// Of one layer: of a list, or the number for all.
Result<double> number_of(
    const Json& config, const char* key, int layer, double fallback) {
  const ConfigReader in(config);
  const Json& all = in.at(key);
  const auto at = static_cast<size_t>(layer);
  const Json& one =
      all.is_array() ? (at < all.size() ? all[at] : in.at("")) : all;
  if (one.is_number() && std::isfinite(one.get<double>())) {
    return one.get<double>();
  }
  if (all.is_null()) {
    return fallback;
  }
  return Error{
      ErrorCode::corrupt,
      std::string("model configuration: expected a number for each layer in ") +
          key,
      "the model's config.json is incomplete",
      key};
}

Status read_layers(const Json& config, int context, Gemma3nConfig& out) {
  const ConfigReader in(config);
  const int layers = out.shape.layers;
  RAPID_TRY(const std::vector<bool> slides, sliding_layers(config, layers, 5));
  RAPID_TRY(const float shared, in.number_or("num_kv_shared_layers", 0));
  std::map<bool, int> owner;  // the last layer of a kind with keys of its own
  for (int i = 0; i < layers; ++i) {
    const bool slide = slides[static_cast<size_t>(i)];
    Gemma3nLayer next{.shared = i >= layers - static_cast<int>(shared)};
    if (!next.shared) {
      owner[slide] = i;
    } else if (!owner.contains(slide)) {
      return Error{
          ErrorCode::corrupt,
          "model configuration: layers share keys that nobody has",
          "num_kv_shared_layers does not fit layer_types",
          "num_kv_shared_layers"};
    }
    next.state = owner[slide];
    next.window = slide ? out.shape.sliding_window : 0;
    RAPID_TRY(
        const double inner, number_of(config, "intermediate_size", i, 16384));
    next.inner = static_cast<int>(inner);
    const double usual = layers > 10 && i < 10 ? 0.95 : 0;
    RAPID_TRY(
        const double sparsity,
        number_of(config, "activation_sparsity_pattern", i, usual));
    next.sparsity = static_cast<float>(sparsity);
    RAPID_TRY(
        next.rope,
        read_rope(
            config,
            {.base = slide ? 1e4f : 1e6f,
             .head_dim = out.shape.head_dim,
             .kind = slide ? "sliding_attention" : "full_attention",
             .context = context}));
    out.layers.push_back(std::move(next));
  }
  return {};
}

}  // namespace

Result<Gemma3nConfig> read_gemma3n_config(
    const ModelFiles& files, int context) {
  if (files.container == ModelFiles::Container::gguf) {
    return Error{
        ErrorCode::unsupported,
        "Gemma 3n from GGUF is not supported",
        "take it as safetensors, as published or from MLX"};
  }
  Json config = with_defaults(text_config(files.config), family_defaults());
  RAPID_CHECK(check_activation(config, "gelu_pytorch_tanh"));
  name_rotations(config);
  const ConfigReader in(config);
  Gemma3nConfig out;
  Json plain = config;  // each layer has its own
  plain["intermediate_size"] = 1;
  RAPID_TRY(out.shape, read_decoder_config(plain));
  RAPID_CHECK(read_layers(config, context, out));
  const DecoderConfig& s = out.shape;
  RAPID_TRY(const int part, in.count("hidden_size_per_layer_input"));
  RAPID_TRY(const int rows, in.count("vocab_size_per_layer_input"));
  out.token = {s.hidden, part, s.layers, rows, s.vocabulary, s.norm_eps};
  RAPID_TRY(const int streams, in.count("altup_num_inputs"));
  RAPID_TRY(const float active, in.number_or("altup_active_idx", 0));
  if (active < 0 || active >= static_cast<float>(streams)) {
    return Error{
        ErrorCode::corrupt,
        "model configuration: expected one of the streams in altup_active_idx",
        "the model's config.json is damaged",
        "altup_active_idx"};
  }
  out.altup = {
      s.hidden,
      streams,
      static_cast<int>(active),
      s.norm_eps,
      in.flag_or("altup_correct_scale", true)};
  RAPID_TRY(out.laurel_rank, in.count("laurel_rank"));
  RAPID_TRY(out.logit_softcap, in.number_or("final_logit_softcapping", 0));
  return out;
}

}  // namespace rapid
