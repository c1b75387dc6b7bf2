// OLMo 2: norms behind attention and MLP instead of before them, and norms of
// q and k over all their heads at once.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<std::unique_ptr<Model>> load_olmo2(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(Json config, model_config(*files));
  config = with_defaults(config, {{"rms_norm_eps", 1e-5}});
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.norm_names = {
      .before_attention = {},
      .after_attention = "post_attention_layernorm",
      .before_mlp = {},
      .after_mlp = "post_feedforward_layernorm"};
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.attention.head_norm = RmsNormOptions{shape.head_dim, shape.norm_eps};
  block.attention.norm_whole = true;
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_olmo2(ModelRegistry& registry) {
  registry.add({"olmo2"}, load_olmo2);
}

}  // namespace rapid
