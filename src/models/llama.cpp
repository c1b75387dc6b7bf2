// Llama 1 to 3.2 and what shares their shape (SmolLM2, Mistral): pre-norm,
// grouped queries, SiLU-gated MLP.
//
// Quirk: GGUF files hold q and k with the rows of each head permuted, so that
// rotating neighbouring pairs equals Hugging Face's rotation of halves.
#include <cmath>

#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Bias bias(const Json& config, const char* key) {
  // GGUF has no such key; there the tensors say it.
  const ConfigReader in(config);
  if (!in.has(key)) {
    return Bias::if_present;
  }
  return in.flag_or(key, false) ? Bias::required : Bias::none;
}

Result<RopeOptions> read_rope(
    const ModelFiles& files,
    const Json& config,
    const DecoderConfig& shape,
    const WeightCursor& root) {
  RAPID_TRY(RopeOptions rope, rope_of_model(config, 10000.0f, shape.head_dim));
  rope.interleaved = files.container == ModelFiles::Container::gguf;
  if (root.has("rope_freqs.weight")) {
    RAPID_TRY(
        const mx::array factors,
        root.vector("rope_freqs.weight", rope.dims / 2));
    rope.frequency_factors.assign(
        factors.data<float>(), factors.data<float>() + factors.size());
  }
  return rope;
}

Result<std::unique_ptr<Model>> load_llama(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(const Json config, model_config(*files));
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(auto map, WeightMap::open(files, options.exact));
  const WeightCursor root(*map);
  const WeightCursor model = root.scope("model");
  RAPID_TRY(DecoderSpine spine, DecoderSpine::load(*files, shape, root, model));
  RAPID_TRY(const RopeOptions rope, read_rope(*files, config, shape, root));

  const TransformerBlockOptions block{
      .norm = {shape.hidden, shape.norm_eps},
      .attention =
          {.hidden = shape.hidden,
           .heads = shape.heads,
           .kv_heads = shape.kv_heads,
           .head_dim = shape.head_dim,
           .qkv_bias = bias(config, "attention_bias"),
           .output_bias = bias(config, "attention_bias"),
           .rope = rope,
           .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
           .window = shape.sliding_window},
      .mlp = {
          .hidden = shape.hidden,
          .inner = shape.inner,
          .activation = Activation::silu,
          .bias = bias(config, "mlp_bias")}};
  std::vector<TransformerBlock> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const WeightCursor at = layer_scope(model, i);
    RAPID_TRY(TransformerBlock next, TransformerBlock::load(at, block));
    layers.push_back(std::move(next));
    spine.states.push_back(
        {shape.kv_heads, shape.head_dim, shape.sliding_window});
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(
      std::make_unique<BlockDecoder>(std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_llama(ModelRegistry& registry) {
  registry.add({"llama", "mistral"}, load_llama);
}

}  // namespace rapid
