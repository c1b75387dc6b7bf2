// How GGUF describes hybrids of gated delta nets: keys of state space models.
#include "models/delta_hybrid.h"

namespace rapid {

Json with_gguf_delta(const ModelFiles& files, const Json& config) {
  const std::string prefix = files.architecture + ".";
  const auto number = [&](const char* key) {
    const auto found = files.gguf->number(prefix + key);
    return found ? static_cast<int64_t>(*found) : 0;
  };
  Json out = config;
  out["linear_conv_kernel_dim"] = number("ssm.conv_kernel");
  out["linear_key_head_dim"] = number("ssm.state_size");
  out["linear_num_key_heads"] = number("ssm.group_count");
  const int64_t heads = number("ssm.time_step_rank");
  out["linear_num_value_heads"] = heads;
  out["linear_value_head_dim"] =
      heads > 0 ? number("ssm.inner_size") / heads : 0;
  if (const int64_t interval = number("full_attention_interval")) {
    out["full_attention_interval"] = interval;
  }
  if (!out.contains("intermediate_size")) {  // all layers have experts
    out["intermediate_size"] = out.value("moe_intermediate_size", Json());
  }
  // The blocks of the head that predicts several tokens come last.
  if (const int64_t more = number("nextn_predict_layers");
      more > 0 && out["num_hidden_layers"].is_number_integer()) {
    out["num_hidden_layers"] = out["num_hidden_layers"].get<int64_t>() - more;
  }
  return out;
}

Renames gguf_delta_names() {
  return {
      {"blk.", "model.layers."},
      {".self_attn.qkv_proj.", ".linear_attn.in_proj_qkv."},
      {".attn_qkv.", ".linear_attn.in_proj_qkv."},
      {".attn_gate.", ".linear_attn.in_proj_z."},
      {".ssm_beta.", ".linear_attn.in_proj_b."},
      {".ssm_alpha.", ".linear_attn.in_proj_a."},
      {".ssm_ba.", ".linear_attn.in_proj_ba."},
      {".ssm_in.", ".linear_attn.in_proj_qkvz."},
      {".shared_experts.", ".shared_expert."},
      {".ssm_out.", ".linear_attn.out_proj."},
      {".ssm_norm.", ".linear_attn.norm."},
      {".ssm_conv1d.", ".linear_attn.conv1d."},
      {".ssm_dt.bias", ".linear_attn.dt_bias"},
      {".ssm_a", ".linear_attn.A"}};
}

}  // namespace rapid
