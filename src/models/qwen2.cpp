// Qwen2 and Qwen2.5: Llama's shape with biases on q, k and v only. Layers slide
// where layer_types say so, or from max_window_layers on, if use_sliding_window
// asks; GGUF files never do.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/layer_windows.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<std::unique_ptr<Model>> load_qwen2(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(config, {{"sliding_window", 4096}});
  }
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(const std::vector<int> windows, read_layer_windows(config, shape));
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = Bias::required;
  const auto layer = [&](int i) {
    block.attention.window = windows[static_cast<size_t>(i)];
    return block;
  };
  return load_block_decoder(files, options, shape, {.layer = layer});
}

}  // namespace

void register_model_qwen2(ModelRegistry& registry) {
  registry.add({"qwen2"}, load_qwen2);
}

}  // namespace rapid
