#include "models/convert_rules.h"

#include <map>

namespace rapid {

namespace {

using Table = std::map<std::string_view, ConvertRules>;

// transformers 5's stacks: gate over up, down.
void fused_experts(ConvertRules& rules) {
  rules.halves.push_back(
      {"experts.gate_up_proj",
       "switch_mlp.gate_proj.weight",
       "switch_mlp.up_proj.weight"});
  rules.endings.push_back({"experts.down_proj", "switch_mlp.down_proj.weight"});
}

ConvertRules delta_hybrid() {
  ConvertRules out;
  out.eight_bit = {"mlp.gate", "shared_expert_gate"};
  out.kept_type = {"A_log"};
  out.dropped = {"mtp.", "model.visual"};
  out.norms_plus_one = true;
  out.taps_first = true;
  fused_experts(out);
  return out;
}

ConvertRules latent() {
  ConvertRules out;
  out.unpacked = {"mlp.gate"};
  out.kept_type = {"e_score_correction_bias"};
  out.latent_heads = true;
  return out;
}

ConvertRules lfm2() {
  ConvertRules out;
  out.eight_bit = {"feed_forward.gate"};
  out.kept_type = {"expert_bias"};
  out.endings = {
      {".w1.weight", ".gate_proj.weight"},
      {".w2.weight", ".down_proj.weight"},
      {".w3.weight", ".up_proj.weight"}};
  out.stacked = {{"w1", "gate_proj"}, {"w2", "down_proj"}, {"w3", "up_proj"}};
  out.taps_first = true;
  return out;
}

ConvertRules granite() {
  ConvertRules out;
  out.eight_bit = {"router.layer"};
  out.halves = {
      {"block_sparse_moe.input_linear.weight",
       "block_sparse_moe.switch_mlp.gate_proj.weight",
       "block_sparse_moe.switch_mlp.up_proj.weight"}};
  out.endings = {
      {"block_sparse_moe.output_linear.weight",
       "block_sparse_moe.switch_mlp.down_proj.weight"}};
  out.taps_first = true;
  return out;
}

ConvertRules gemma4() {
  ConvertRules out;
  out.eight_bit = {"router.proj"};
  out.halves = {
      {"experts.gate_up_proj",
       "experts.switch_glu.gate_proj.weight",
       "experts.switch_glu.up_proj.weight"}};
  out.endings = {{"experts.down_proj", "experts.switch_glu.down_proj.weight"}};
  out.shared_keys = true;
  return out;
}

Table made() {
  Table out;
  out["qwen3_moe"].eight_bit = {"mlp.gate"};
  out["qwen3_next"] = delta_hybrid();
  out["qwen3_next"].kept_type.clear();
  ConvertRules next = delta_hybrid();
  next.prefix = "language_model.";
  out["qwen3_5_moe"] = next;
  next.eight_bit.clear();
  out["qwen3_5"] = next;
  for (const auto* name : {"deepseek_v3", "kimi_k2", "glm4_moe_lite"}) {
    out[name] = latent();
  }
  out["glm4_moe"] = latent();
  out["glm4_moe"].latent_heads = false;
  ConvertRules& minimax = out["minimax_m2"];
  minimax.eight_bit = {"block_sparse_moe.gate"};
  minimax.kept_type = {"e_score_correction_bias"};
  minimax.stacked = {
      {"w1", "gate_proj"}, {"w2", "down_proj"}, {"w3", "up_proj"}};
  out["lfm2_moe"] = lfm2();
  out["lfm2"].taps_first = true;
  out["granitemoehybrid"] = granite();
  ConvertRules& nemotron = out["nemotron_h"];
  nemotron.unpacked = {"mixer.gate"};
  nemotron.kept_type = {"e_score_correction_bias", "A_log"};
  nemotron.dropped = {"mtp."};
  nemotron.stacked = {{"up_proj", "fc1"}, {"down_proj", "fc2"}};
  nemotron.taps_first = true;
  nemotron.never_tied = true;
  out["ernie4_5_moe"].dropped = {"mtp_", "e_score_correction_bias"};
  out["gemma4"] = out["gemma4_text"] = gemma4();
  // Its experts lie in another order, of which MLX's converter knows only the
  // published packed form.
  out["gpt_oss"].experts = false;
  return out;
}

}  // namespace

const ConvertRules& convert_rules(std::string_view model_type) {
  static const Table table = made();
  static const ConvertRules none;
  const auto found = table.find(model_type);
  return found == table.end() ? none : found->second;
}

}  // namespace rapid
