// ERNIE 4.5 dense: Llama's layers, neighbouring dimensions rotated as pairs,
// one key for all biases.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<std::unique_ptr<Model>> load_ernie4_5(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(
        config,
        {{"rms_norm_eps", 1e-5},
         {"head_dim", 128},
         {"num_key_value_heads", 2},
         {"max_position_embeddings", 131072},
         {"tie_word_embeddings", true}});
  }
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  rope.interleaved = true;
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "use_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.mlp.bias = block.attention.qkv_bias;
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_ernie4_5(ModelRegistry& registry) {
  registry.add({"ernie4_5"}, load_ernie4_5);
}

}  // namespace rapid
