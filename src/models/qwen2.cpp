// Qwen2 and Qwen2.5: Llama's shape with biases on q, k and v only. A sliding
// window applies from layer max_window_layers on, if use_sliding_window says
// so; GGUF files never do.
#include <cmath>

#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

// Window of each layer, 0 = full.
Result<std::vector<int>> read_windows(
    const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  std::vector<int> out(static_cast<size_t>(shape.layers), 0);
  if (!in.flag_or("use_sliding_window", false)) {
    return out;
  }
  const Json& first = in.at("max_window_layers");
  const int from = first.is_number_integer() ? first.get<int>() : 28;
  for (int i = 0; i < shape.layers; ++i) {
    out[static_cast<size_t>(i)] = i >= from ? shape.sliding_window : 0;
  }
  return out;
}

TransformerBlockOptions block_options(
    const DecoderConfig& shape, const RopeOptions& rope, int window) {
  return {
      .norm = {shape.hidden, shape.norm_eps},
      .attention =
          {.hidden = shape.hidden,
           .heads = shape.heads,
           .kv_heads = shape.kv_heads,
           .head_dim = shape.head_dim,
           .qkv_bias = Bias::required,
           .rope = rope,
           .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
           .window = window},
      .mlp = {
          .hidden = shape.hidden,
          .inner = shape.inner,
          .activation = Activation::silu}};
}

Result<std::unique_ptr<Model>> load_qwen2(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const Json config, model_config(*files));
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(const std::vector<int> windows, read_windows(config, shape));
  RAPID_TRY(
      const RopeOptions rope, rope_of_model(config, 10000.0f, shape.head_dim));
  RAPID_TRY(auto map, WeightMap::open(files, options.exact));
  const WeightCursor root(*map);
  const WeightCursor model = root.scope("model");
  RAPID_TRY(DecoderSpine spine, DecoderSpine::load(*files, shape, root, model));

  std::vector<TransformerBlock> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const int window = windows[static_cast<size_t>(i)];
    RAPID_TRY(
        TransformerBlock next,
        TransformerBlock::load(
            layer_scope(model, i), block_options(shape, rope, window)));
    layers.push_back(std::move(next));
    spine.states.push_back({shape.kv_heads, shape.head_dim, window});
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<BlockDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_qwen2(ModelRegistry& registry) {
  registry.add({"qwen2"}, load_qwen2);
}

}  // namespace rapid
