#include "models/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

namespace rapid {

namespace {

using Rule = std::pair<std::string_view, std::string_view>;

constexpr auto kRules = std::to_array<Rule>({
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.sliding_window", "sliding_window"},
    {"attention.sliding_window_pattern", "sliding_window_pattern"},
    {"attention.scale", "attention_scale"},
    {"attention.temperature_scale", "llama_4_scaling_beta"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"rope.freq_base", "rope_theta"},
    {"vocab_size", "vocab_size"},
    {"expert_count", "num_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
    {"expert_shared_count", "n_shared_experts"},
    {"expert_weights_scale", "routed_scaling_factor"},
    {"expert_gating_func", "expert_gating_func"},
    {"expert_group_count", "n_group"},
    {"expert_group_used_count", "topk_group"},
    {"leading_dense_block_count", "first_k_dense_replace"},
});

// Metadata floats are float32; whole numbers must read as integers.
Json number(double value, bool whole) {
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

constexpr std::array<Rule, 5> kRopeRules = {{
    {"rope.scaling.factor", "factor"},
    {"rope.scale_linear", "factor"},
    {"rope.scaling.original_context_length",
     "original_max_position_embeddings"},
    {"rope.scaling.yarn_beta_fast", "beta_fast"},
    {"rope.scaling.yarn_beta_slow", "beta_slow"},
}};

// Divisors of the frequencies, one per pair, that the file holds as tensors.
constexpr std::array<Rule, 3> kRopeTensors = {{
    {"rope_freqs.weight", "frequency_factors"},
    {"rope_factors_long.weight", "long_factor"},
    {"rope_factors_short.weight", "short_factor"},
}};

Json floats_of(const TensorView& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(
      values.data(), tensor.bytes.data(), values.size() * sizeof(float));
  return values;
}

Json rope_scaling(const ModelFiles& files, const std::string& prefix) {
  const GgufFile& gguf = *files.gguf;
  Json out = Json::object();
  for (const auto& [from, to] : kRopeRules) {
    if (const auto value = gguf.number(prefix + std::string(from))) {
      out[std::string(to)] = number(*value, *value == std::floor(*value));
    }
  }
  for (const TensorView& tensor : files.tensors) {
    for (const auto& [from, to] : kRopeTensors) {
      if (tensor.name == from && tensor.type == TensorType::f32) {
        out[std::string(to)] = floats_of(tensor);
      }
    }
  }
  const auto type = gguf.string(prefix + "rope.scaling.type");
  if (type) {
    out["rope_type"] = *type;
  } else if (out.contains("long_factor")) {
    out["rope_type"] = "longrope";
  } else if (gguf.number(prefix + "rope.scale_linear")) {
    out["rope_type"] = "linear";
  }
  const auto log = gguf.number(prefix + "rope.scaling.yarn_log_multiplier");
  if (log && *log != 0) {
    out["mscale"] = 1.0;
    // Its converter writes a tenth.
    const bool tenth = files.architecture == "deepseek2";
    out["mscale_all_dim"] = tenth ? *log * 10 : *log;
  }
  // Times what the kind asks for by itself.
  const auto amplitude = gguf.number(prefix + "rope.scaling.attn_factor");
  if (amplitude && out.value("rope_type", "") == "longrope") {
    out["attention_factor"] = *amplitude;
  } else if (amplitude && out.value("rope_type", "") == "yarn") {
    const double factor = std::max(out.value("factor", 1.0), 1.0);
    out["attention_factor"] = *amplitude * (0.1 * std::log(factor) + 1.0);
  }
  return out;
}

// Of a head where all of them together are as wide as the model.
double embedding_width(const GgufFile& gguf, const std::string& prefix) {
  const auto width = gguf.number(prefix + "embedding_length");
  const auto heads = gguf.number(prefix + "attention.head_count");
  return width && heads && *heads > 0 ? std::floor(*width / *heads) : 0.0;
}

Json end_tokens(const GgufFile& gguf) {
  Json out = Json::array();
  for (const auto* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    const auto id = gguf.number(std::string("tokenizer.ggml.") + key);
    const Json value = id ? number(*id, true) : Json();
    if (id && std::find(out.begin(), out.end(), value) == out.end()) {
      out.push_back(value);
    }
  }
  return out;
}

}  // namespace

Result<Json> config_from_gguf(const ModelFiles& files) {
  const GgufFile& gguf = *files.gguf;
  const std::string prefix = files.architecture + ".";
  Json out = Json::object();
  out["model_type"] = files.architecture;
  for (const auto& [from, to] : kRules) {
    const std::string key = prefix + std::string(from);
    const auto found = gguf.metadata().find(key);
    if (found == gguf.metadata().end()) {
      continue;
    }
    // A list tells of the layers one by one.
    if (const auto* list = std::get_if<std::vector<int64_t>>(&found->second)) {
      out[std::string(to)] = *list;
      continue;
    }
    const auto value = gguf.number(key);
    if (!value) {
      return Error{
          ErrorCode::corrupt,
          fmt::format("GGUF metadata {}: expected a number", key),
          "the file is damaged, or its architecture is not what it says",
          key};
    }
    const bool whole = std::holds_alternative<int64_t>(found->second);
    out[std::string(to)] = number(*value, whole);
  }
  const auto normed = gguf.metadata().find(prefix + "expert_weights_norm");
  if (normed != gguf.metadata().end() &&
      std::holds_alternative<bool>(normed->second)) {
    out["norm_topk_prob"] = std::get<bool>(normed->second);
  }
  // Heads that guess further tokens count as blocks.
  const auto guessing = gguf.number(prefix + "nextn_predict_layers");
  if (guessing && out.contains("num_hidden_layers")) {
    out["num_hidden_layers"] = out["num_hidden_layers"].get<int64_t>() -
                               static_cast<int64_t>(*guessing);
  }
  bool head = false;
  for (const TensorView& tensor : files.tensors) {
    head |= tensor.name == "output.weight";
    if (tensor.name == "token_embd.weight" && tensor.shape.size() == 2) {
      out["vocab_size"] = tensor.shape[0];
    }
  }
  out["tie_word_embeddings"] = !head;
  if (Json scaling = rope_scaling(files, prefix); !scaling.empty()) {
    out["rope_scaling"] = std::move(scaling);
  }
  const auto rotated = gguf.number(prefix + "rope.dimension_count");
  const auto width = gguf.number(prefix + "attention.key_length");
  const double even = embedding_width(gguf, prefix);
  if (rotated && *rotated < width.value_or(even)) {
    out["partial_rotary_factor"] = *rotated / width.value_or(even);
  } else if (rotated && !width) {
    out["head_dim"] = number(*rotated, true);
  }
  out["eos_token_id"] = end_tokens(gguf);
  return out;
}

Result<Json> model_config(const ModelFiles& files) {
  if (files.container == ModelFiles::Container::gguf) {
    return config_from_gguf(files);
  }
  return files.config;
}

}  // namespace rapid
