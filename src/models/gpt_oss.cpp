// gpt-oss: attention with sinks and biases, every other layer sliding, yarn;
// in every layer a router over its chosen experts' logits, experts with biases
// and a clamped gate.
//
// Quirks: intermediate_size is an expert's; Hugging Face's files have experts
// of their own form (gpt_oss_experts.h); GGUF says neither the clamp nor
// that yarn's range is not rounded.
#include "models/gguf_config.h"
#include "models/gpt_oss_experts.h"
#include "models/layer_windows.h"
#include "models/moe_decoder.h"
#include "models/registry.h"

namespace rapid {

namespace {

// transformers' GptOssConfig.
const Json& family_defaults() {
  static const Json defaults = {
      {"head_dim", 64},
      {"num_key_value_heads", 8},
      {"max_position_embeddings", 131072},
      {"rms_norm_eps", 1e-5},
      {"sliding_window", 128},
      {"num_experts_per_tok", 4},
      {"attention_bias", true},
      {"tie_word_embeddings", false}};
  return defaults;
}

Result<RopeOptions> read_rotation(
    Json config, const DecoderConfig& shape, const LoadOptions& options) {
  const ConfigReader in(config);
  if (!in.has("rope_parameters") && !in.has("rope_scaling")) {
    config["rope_scaling"] = {
        {"rope_type", "yarn"},
        {"factor", 32.0},
        {"original_max_position_embeddings", 4096}};
  }
  for (const auto* form : {"rope_parameters", "rope_scaling"}) {
    const auto rope = config.find(form);
    if (rope != config.end() && rope->is_object() &&
        !rope->contains("truncate")) {
      (*rope)["truncate"] = false;
    }
  }
  return read_rope(
      config,
      {.base = 150000.0f,
       .head_dim = shape.head_dim,
       .context = options.context});
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
  out.score = RouterScore::softmax_of_chosen;
  out.router_bias = Bias::required;
  out.bias = Bias::required;
  out.activation.kind = Gating::clamped_silu;
  RAPID_TRY(out.activation.alpha, in.number_or("swiglu_alpha", 1.702f));
  RAPID_TRY(out.activation.limit, in.number_or("swiglu_limit", 7.0f));
  if (!gguf) {
    out.names.router = "router";
  }
  return out;
}

Result<std::unique_ptr<Model>> load_gpt_oss(
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
  RAPID_TRY(
      const std::vector<bool> sliding, read_layer_types(config, shape.layers));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.attention.sinks = true;
  const auto layer = [&](int i) {
    const bool slides =
        sliding.empty() ? i % 2 == 0 : sliding[static_cast<size_t>(i)];
    block.attention.window = slides ? shape.sliding_window : 0;
    return block;
  };
  MoeDecoderOptions made{
      .moe = moe, .layer = layer, .sparse = [](int) { return true; }};
  if (has_gpt_oss_experts(*files)) {
    made.experts = [&](const WeightCursor& at) {
      return load_gpt_oss_experts(at, moe);
    };
  }
  return load_moe_decoder(files, options, shape, made);
}

}  // namespace

void register_model_gpt_oss(ModelRegistry& registry) {
  registry.add({"gpt_oss", "gpt-oss"}, load_gpt_oss);
}

}  // namespace rapid
