// SmolLM3: Llama's layers, some of which do not rotate q and k.
//
// Quirk: GGUF files hold q and k permuted, as Llama's do, and say nothing of
// those layers: it is every fourth one.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<std::vector<bool>> rotating_layers(const Json& config, int layers) {
  const ConfigReader in(config);
  std::vector<bool> out;
  const Json& listed = in.at("no_rope_layers");  // 1 = rotates
  if (listed.is_array() && listed.size() >= static_cast<size_t>(layers)) {
    for (int i = 0; i < layers; ++i) {
      const Json& flag = listed[static_cast<size_t>(i)];
      out.push_back(flag.is_boolean() ? flag.get<bool>() : flag != 0);
    }
    return out;
  }
  RAPID_TRY(const int every, in.count_or("no_rope_layer_interval", 4));
  for (int i = 0; i < layers; ++i) {
    out.push_back((i + 1) % every != 0);
  }
  return out;
}

// Without layer_types those that do not rotate slide.
std::vector<int> windows(
    const Json& config,
    const DecoderConfig& shape,
    const std::vector<bool>& rotating) {
  const ConfigReader in(config);
  std::vector<int> out(rotating.size(), 0);
  if (!in.flag_or("use_sliding_window", false)) {
    return out;
  }
  const Json& kinds = in.at("layer_types");
  for (size_t i = 0; i < out.size(); ++i) {
    const bool slides = kinds.is_array() && kinds.size() == out.size()
                            ? kinds[i] == "sliding_attention"
                            : !rotating[i];
    out[i] = slides ? shape.sliding_window : 0;
  }
  return out;
}

Result<std::unique_ptr<Model>> load_smollm3(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  config = with_defaults(
      config, {{"num_key_value_heads", 4}, {"max_position_embeddings", 32768}});
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      RopeOptions rope,
      read_rope(
          config,
          {.base = 2e6f,
           .head_dim = shape.head_dim,
           .context = options.context}));
  rope.interleaved = gguf;
  RAPID_TRY(
      const std::vector<bool> rotating, rotating_layers(config, shape.layers));
  const std::vector<int> window = windows(config, shape, rotating);
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.paired_rows = gguf;
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.mlp.bias = bias_of(config, "mlp_bias");
  const auto layer = [&](int i) {
    TransformerBlockOptions next = block;
    const auto at = static_cast<size_t>(i);
    next.attention.window = window[at];
    if (!rotating[at]) {
      next.attention.rope = RopeOptions();
    }
    return next;
  };
  return load_block_decoder(files, options, shape, {.layer = layer});
}

}  // namespace

void register_model_smollm3(ModelRegistry& registry) {
  registry.add({"smollm3"}, load_smollm3);
}

}  // namespace rapid
