#include "models/config.h"

#include <fmt/format.h>

#include <cmath>

namespace rapid {

namespace {

constexpr int kMaxCount = 1 << 30;

Error bad_key(std::string_view key, std::string_view expected) {
  return Error{
      ErrorCode::corrupt,
      fmt::format("model configuration: expected {} in {}", expected, key),
      "the model's config.json or GGUF metadata is incomplete",
      std::string(key)};
}

}  // namespace

const Json& ConfigReader::at(std::string_view key) const {
  static const Json null;
  if (!config_->is_object()) {
    return null;
  }
  const auto found = config_->find(key);
  return found == config_->end() ? null : *found;
}

bool ConfigReader::has(std::string_view key) const {
  return !at(key).is_null();
}

Result<int> ConfigReader::count(std::string_view key) const {
  const Json& value = at(key);
  if (value.is_array()) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("model configuration: expected one number in {}", key),
        "layers of different shapes are not supported by this architecture",
        std::string(key)};
  }
  if (!value.is_number_integer() || value < 1 || value > kMaxCount) {
    return bad_key(key, "a whole number of at least 1");
  }
  return value.get<int>();
}

Result<int> ConfigReader::count_or(std::string_view key, int fallback) const {
  return has(key) ? count(key) : Result<int>(fallback);
}

Result<float> ConfigReader::number_or(
    std::string_view key, float fallback) const {
  const Json& value = at(key);
  if (value.is_null()) {
    return fallback;
  }
  if (!value.is_number() || !std::isfinite(value.get<float>())) {
    return bad_key(key, "a number");
  }
  return value.get<float>();
}

bool ConfigReader::flag_or(std::string_view key, bool fallback) const {
  const Json& value = at(key);
  return value.is_boolean() ? value.get<bool>() : fallback;
}

Result<DecoderConfig> read_decoder_config(const Json& config) {
  const ConfigReader in(config);
  DecoderConfig out;
  RAPID_TRY(out.hidden, in.count("hidden_size"));
  RAPID_TRY(out.inner, in.count("intermediate_size"));
  RAPID_TRY(out.layers, in.count("num_hidden_layers"));
  RAPID_TRY(out.heads, in.count("num_attention_heads"));
  RAPID_TRY(out.kv_heads, in.count_or("num_key_value_heads", out.heads));
  RAPID_TRY(out.head_dim, in.count_or("head_dim", out.hidden / out.heads));
  RAPID_TRY(out.vocabulary, in.count("vocab_size"));
  RAPID_TRY(out.context_length, in.count_or("max_position_embeddings", 2048));
  RAPID_TRY(out.norm_eps, in.number_or("rms_norm_eps", 1e-6f));
  RAPID_TRY(out.sliding_window, in.count_or("sliding_window", 0));
  if (out.heads % out.kv_heads != 0) {
    return bad_key("num_key_value_heads", "a divisor of num_attention_heads");
  }
  if (out.head_dim < 1 || out.head_dim % 2 != 0) {
    return bad_key("head_dim", "an even number");
  }
  if (in.at("tie_word_embeddings").is_boolean()) {
    out.tied = in.flag_or("tie_word_embeddings", false);
  }
  const Json& end = in.at("eos_token_id");
  for (const Json& id : end.is_array() ? end : Json::array({end})) {
    if (id.is_number_integer() && id >= 0 && id < out.vocabulary) {
      out.end_tokens.push_back(id.get<int32_t>());
    }
  }
  return out;
}

Json with_defaults(Json config, const Json& defaults) {
  for (const auto& [key, value] : defaults.items()) {
    if (!config.contains(key)) {
      config[key] = value;
    }
  }
  return config;
}

Status check_activation(const Json& config, std::string_view expected) {
  const ConfigReader in(config);
  for (const auto* key : {"hidden_activation", "hidden_act"}) {
    const Json& value = in.at(key);
    if (value.is_null()) {
      continue;
    }
    if (value == expected) {
      return {};
    }
    return Error{
        ErrorCode::unsupported,
        fmt::format(
            "model configuration: expected {} = {}, got {}",
            key,
            expected,
            dump_json(value)),
        "this build does not know that variant of the architecture",
        key};
  }
  return {};
}

}  // namespace rapid
