// Qwen3 with experts: qwen3's attention; in the sparse layers a softmax router
// without a shared part. Which layers are sparse: decoder_sparse_step and
// mlp_only_layers. All layers slide if use_sliding_window asks.
//
// Quirk: GGUF does not say norm_topk_prob; its models all renormalise.
#include <algorithm>

#include "models/gguf_config.h"
#include "models/moe_decoder.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<MoeOptions> read_moe(
    const Json& config, const DecoderConfig& shape, bool gguf) {
  const ConfigReader in(config);
  MoeOptions out{.hidden = shape.hidden};
  RAPID_TRY(out.inner, in.count_or("moe_intermediate_size", 768));
  RAPID_TRY(out.experts, read_expert_count(config));
  RAPID_TRY(out.top_k, in.count_or("num_experts_per_tok", 8));
  out.renormalise = in.flag_or("norm_topk_prob", gguf);
  return out;
}

Result<std::vector<bool>> read_sparse(const Json& config, int layers) {
  const ConfigReader in(config);
  RAPID_TRY(const int step, in.count_or("decoder_sparse_step", 1));
  const Json& dense = in.at("mlp_only_layers");
  std::vector<bool> out;
  for (int i = 0; i < layers; ++i) {
    const bool named =
        dense.is_array() && std::ranges::find(dense, Json(i)) != dense.end();
    out.push_back(!named && (i + 1) % step == 0);
  }
  return out;
}

Result<std::unique_ptr<Model>> load_qwen3_moe(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(const Json config, model_config(*files));
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(const MoeOptions moe, read_moe(config, shape, gguf));
  RAPID_TRY(const std::vector<bool> sparse, read_sparse(config, shape.layers));
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.attention.head_norm = RmsNormOptions{shape.head_dim, shape.norm_eps};
  if (ConfigReader(config).flag_or("use_sliding_window", false)) {
    block.attention.window = shape.sliding_window;
  }
  return load_moe_decoder(
      files,
      options,
      shape,
      {.moe = moe,
       .layer = [&](int) { return block; },
       .sparse = [&](int i) { return sparse[static_cast<size_t>(i)]; }});
}

}  // namespace

void register_model_qwen3_moe(ModelRegistry& registry) {
  registry.add({"qwen3_moe", "qwen3moe"}, load_qwen3_moe);
}

}  // namespace rapid
