// Llama 1 to 3.2 and what shares their shape (SmolLM2): pre-norm, grouped
// queries, SiLU-gated MLP.
//
// Quirks: GGUF files hold q and k with the rows of each head permuted, so that
// rotating neighbouring pairs equals Hugging Face's rotation of halves; they
// call Mistral "llama", too, and its window is metadata.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<std::unique_ptr<Model>> load_llama(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(const Json config, model_config(*files));
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  rope.interleaved = gguf;
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.attention.paired_rows = gguf;
  block.attention.window = gguf ? shape.sliding_window : 0;
  block.mlp.bias = bias_of(config, "mlp_bias");
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_llama(ModelRegistry& registry) {
  registry.add({"llama"}, load_llama);
}

}  // namespace rapid
