#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "tensor/weight_map.h"

namespace rapid {

namespace {

using Rule = std::pair<std::string_view, std::string_view>;

constexpr auto kModelRules = std::to_array<Rule>({
    {"token_embd", "model.embed_tokens"},
    {"per_layer_token_embd", "model.embed_tokens_per_layer"},
    {"per_layer_model_proj", "model.per_layer_model_projection"},
    {"per_layer_proj_norm", "model.per_layer_projection_norm"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
});

constexpr auto kLayerRules = std::to_array<Rule>({
    {"attn_qkv", "self_attn.qkv_proj"},
    {"inp_gate", "per_layer_input_gate"},
    {"proj", "per_layer_projection"},
    {"post_norm", "post_per_layer_input_norm"},
    {"layer_output_scale", "layer_scalar"},
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
    {"pre_ffw_norm_2", "pre_feedforward_layernorm_2"},
    {"post_ffw_norm_1", "post_feedforward_layernorm_1"},
    {"post_ffw_norm_2", "post_feedforward_layernorm_2"},
    {"attn_sinks", "self_attn.sinks"},
    {"attn_q_a", "self_attn.q_a_proj"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_q_b", "self_attn.q_b_proj"},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_kv_b", "self_attn.kv_b_proj"},
    {"attn_k_b", "self_attn.embed_q"},
    {"attn_v_b", "self_attn.unembed_out"},
    {"ffn_gate_inp", "mlp.gate"},
    {"exp_probs_b", "mlp.gate.e_score_correction"},
    {"ffn_gate_exps", "mlp.switch_mlp.gate_proj"},
    {"ffn_up_exps", "mlp.switch_mlp.up_proj"},
    {"ffn_gate_up_exps", "mlp.switch_mlp.gate_up_proj"},
    {"ffn_down_exps", "mlp.switch_mlp.down_proj"},
    {"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_experts.up_proj"},
    {"ffn_down_shexp", "mlp.shared_experts.down_proj"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
});

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
