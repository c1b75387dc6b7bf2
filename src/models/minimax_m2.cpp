// MiniMax M2: norms over all heads of q and of k at once, partial rotation, a
// sigmoid router with a correction in every layer.
//
// Quirks: intermediate_size is an expert's; released configurations say
// rotary_dim; experts are called w1 (gate), w3 (up) and w2 (down).
#include "models/gguf_config.h"
#include "models/moe_decoder.h"
#include "models/registry.h"

namespace rapid {

namespace {

// transformers' MiniMaxM2Config.
const Json& family_defaults() {
  static const Json defaults = {
      {"head_dim", 128},
      {"num_key_value_heads", 8},
      {"max_position_embeddings", 196608},
      {"rms_norm_eps", 1e-6},
      {"num_experts_per_tok", 8},
      {"tie_word_embeddings", false}};
  return defaults;
}

Result<MoeOptions> read_moe(
    const Json& config, const DecoderConfig& shape, bool gguf) {
  const ConfigReader in(config);
  MoeOptions out{.hidden = shape.hidden};
  out.inner = shape.inner;
  if (gguf) {
    RAPID_TRY(out.inner, in.count_or("moe_intermediate_size", shape.inner));
  }
  RAPID_TRY(out.experts, read_expert_count(config));
  RAPID_TRY(out.top_k, in.count("num_experts_per_tok"));
  out.score = RouterScore::sigmoid;
  out.correction = Bias::required;
  out.renormalise = true;
  out.names.correction = "e_score_correction_bias";
  out.names.each_gate = "w1";
  out.names.each_up = "w3";
  out.names.each_down = "w2";
  return out;
}

Result<RopeOptions> read_rotation(
    Json config, const DecoderConfig& shape, const LoadOptions& options) {
  const ConfigReader in(config);
  if (in.has("rotary_dim") && !in.has("partial_rotary_factor")) {
    RAPID_TRY(const int dims, in.count("rotary_dim"));
    const double part = static_cast<double>(dims) / shape.head_dim;
    config["partial_rotary_factor"] = part;
    if (in.has("rope_parameters") &&
        !config["rope_parameters"].contains("partial_rotary_factor")) {
      config["rope_parameters"]["partial_rotary_factor"] = part;
    }
  }
  return read_rope(
      config,
      {.base = 5e6f, .head_dim = shape.head_dim, .context = options.context});
}

Result<std::unique_ptr<Model>> load_minimax_m2(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(config, family_defaults());
  }
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(const MoeOptions moe, read_moe(config, shape, gguf));
  RAPID_TRY(const RopeOptions rope, read_rotation(config, shape, options));
  TransformerBlockOptions block = plain_block(shape, rope);
  if (ConfigReader(config).flag_or("use_qk_norm", true)) {
    block.attention.head_norm = RmsNormOptions{shape.head_dim, shape.norm_eps};
    block.attention.norm_whole = true;
  }
  return load_moe_decoder(
      files,
      options,
      shape,
      {.moe = moe,
       .scope = gguf ? "mlp" : "block_sparse_moe",
       .layer = [&](int) { return block; },
       .sparse = [](int) { return true; }});
}

}  // namespace

void register_model_minimax_m2(ModelRegistry& registry) {
  registry.add({"minimax_m2", "minimax-m2"}, load_minimax_m2);
}

}  // namespace rapid
