#include "models/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace rapid {

namespace {

using Rule = std::pair<std::string_view, std::string_view>;

constexpr std::array<Rule, 14> kRules = {{
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.sliding_window", "sliding_window"},
    {"attention.scale", "attention_scale"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"rope.freq_base", "rope_theta"},
    {"vocab_size", "vocab_size"},
}};

// Metadata floats are float32; whole numbers must read as integers.
Json number(double value, bool whole) {
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

Json rope_scaling(const GgufFile& gguf, const std::string& prefix) {
  const auto type = gguf.string(prefix + "rope.scaling.type");
  const auto factor = gguf.number(prefix + "rope.scaling.factor");
  if (!type && !gguf.number(prefix + "rope.scale_linear")) {
    return nullptr;
  }
  Json out = {{"rope_type", type.value_or("linear")}};
  out["factor"] =
      factor.value_or(gguf.number(prefix + "rope.scale_linear").value_or(1.0));
  return out;
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
    const auto value = gguf.number(key);
    if (!value) {
      return Error{
          ErrorCode::unsupported,
          fmt::format("GGUF metadata {}: expected one number", key),
          "layers of different shapes are not supported",
          key};
    }
    const bool whole = std::holds_alternative<int64_t>(found->second);
    out[std::string(to)] = number(*value, whole);
  }
  bool head = false;
  for (const TensorView& tensor : files.tensors) {
    head |= tensor.name == "output.weight";
    if (tensor.name == "token_embd.weight" && tensor.shape.size() == 2) {
      out["vocab_size"] = tensor.shape[0];
    }
  }
  out["tie_word_embeddings"] = !head;
  if (Json scaling = rope_scaling(gguf, prefix); !scaling.is_null()) {
    out["rope_scaling"] = std::move(scaling);
  }
  const auto rotated = gguf.number(prefix + "rope.dimension_count");
  const auto width = gguf.number(prefix + "attention.key_length");
  if (rotated && width && *rotated < *width) {
    out["partial_rotary_factor"] = *rotated / *width;
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
