// Seed-OSS: Llama's layers with biases of q, k and v apart from that of the
// projection back.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<std::unique_ptr<Model>> load_seed_oss(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(
        config,
        {{"attention_bias", true},
         {"num_key_value_heads", 8},
         {"head_dim", 128},
         {"max_position_embeddings", 524288}});
  }
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = bias_of(config, "attention_out_bias");
  block.mlp.bias = bias_of(config, "mlp_bias");
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_seed_oss(ModelRegistry& registry) {
  registry.add({"seed_oss"}, load_seed_oss);
}

}  // namespace rapid
