#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "tensor/weight_map.h"

namespace rapid {

namespace {

using Rule = std::pair<std::string_view, std::string_view>;

constexpr std::array<Rule, 3> kModelRules = {{
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
}};

constexpr std::array<Rule, 13> kLayerRules = {{
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_norm", "input_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
}};

template <size_t N>
std::string_view find_rule(
    const std::array<Rule, N>& rules, std::string_view from) {
  for (const auto& [gguf, hf] : rules) {
    if (gguf == from) {
      return hf;
    }
  }
  return {};
}

}  // namespace

std::string canonical_name(std::string_view gguf_name, bool sandwich_norms) {
  const size_t dot = gguf_name.rfind('.');
  if (dot == std::string_view::npos) {
    return std::string(gguf_name);
  }
  const std::string_view module = gguf_name.substr(0, dot);
  const std::string_view suffix = gguf_name.substr(dot);  // ".weight", ".bias"
  if (!module.starts_with("blk.")) {
    const std::string_view mapped = find_rule(kModelRules, module);
    return std::string(mapped.empty() ? module : mapped).append(suffix);
  }
  const std::string_view rest = module.substr(4);
  int layer = 0;
  const auto [end, error] =
      std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') {
    return std::string(gguf_name);
  }
  const auto digits = static_cast<size_t>(end - rest.data());
  const std::string_view inner = rest.substr(digits + 1);
  std::string_view mapped = find_rule(kLayerRules, inner);
  if (inner == "ffn_norm" && sandwich_norms) {
    mapped = "pre_feedforward_layernorm";
  }
  if (mapped.empty()) {
    return std::string(gguf_name);
  }
  std::string out = "model.layers.";
  out.append(rest.substr(0, digits)).append(".").append(mapped).append(suffix);
  return out;
}

}  // namespace rapid
