#include "models/config.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

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

// Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those
// between are interpolated (transformers, modeling_rope_utils.py).
Result<std::vector<float>> llama3_factors(
    const ConfigReader& rope, float base, int dims) {
  RAPID_TRY(const float factor, rope.number_or("factor", 8.0f));
  RAPID_TRY(const float low, rope.number_or("low_freq_factor", 1.0f));
  RAPID_TRY(const float high, rope.number_or("high_freq_factor", 4.0f));
  RAPID_TRY(
      const int trained,
      rope.count_or("original_max_position_embeddings", 8192));
  std::vector<float> out;
  for (int i = 0; i < dims; i += 2) {
    const double frequency = std::pow(base, -static_cast<double>(i) / dims);
    const double turns = trained * frequency / (2 * std::numbers::pi);
    double scale = 1.0;
    if (turns < low) {
      scale = 1.0 / factor;
    } else if (turns <= high) {
      const double smooth = (turns - low) / (high - low);
      scale = (1 - smooth) / factor + smooth;
    }
    out.push_back(static_cast<float>(1.0 / scale));
  }
  return out;
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

Result<RopeOptions> rope_from_config(
    const Json& rope, float base, int head_dim) {
  const ConfigReader in(rope);
  RopeOptions out;
  RAPID_TRY(out.base, in.number_or("rope_theta", base));
  RAPID_TRY(const float part, in.number_or("partial_rotary_factor", 1.0f));
  out.dims = static_cast<int>(static_cast<float>(head_dim) * part);
  if (out.base <= 0 || out.dims < 2 || out.dims > head_dim ||
      out.dims % 2 != 0) {
    return bad_key("rope_parameters", "a positive base and even dimensions");
  }
  const Json& kind = in.has("rope_type") ? in.at("rope_type") : in.at("type");
  if (kind.is_null() || kind == "default" || kind == "none") {
    return out;
  }
  if (kind == "linear") {
    RAPID_TRY(const float factor, in.number_or("factor", 1.0f));
    if (factor <= 0) {
      return bad_key("factor", "a positive number");
    }
    out.scale = 1.0f / factor;
    return out;
  }
  if (kind == "llama3") {
    RAPID_TRY(out.frequency_factors, llama3_factors(in, out.base, out.dims));
    return out;
  }
  return Error{
      ErrorCode::unsupported,
      fmt::format("rope scaling {} is not supported", dump_json(kind)),
      "supported: default, linear, llama3",
      "rope_scaling"};
}

Result<RopeOptions> rope_of_model(
    const Json& config, float base, int head_dim) {
  const ConfigReader in(config);
  if (in.has("rope_parameters")) {
    return rope_from_config(in.at("rope_parameters"), base, head_dim);
  }
  Json rope = in.has("rope_scaling") ? in.at("rope_scaling") : Json::object();
  for (const auto* key : {"rope_theta", "partial_rotary_factor"}) {
    if (in.has(key)) {
      rope[key] = in.at(key);
    }
  }
  return rope_from_config(rope, base, head_dim);
}

}  // namespace rapid
