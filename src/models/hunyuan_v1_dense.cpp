// Hunyuan V1 dense: Llama's layers with norms of q and k behind the rotation,
// whose base is stretched by `alpha`.
//
// Quirk: GGUF's base is stretched already.
#include <cmath>

#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

Result<RopeOptions> stretched_rope(
    const Json& config, const DecoderConfig& shape, int context) {
  RAPID_TRY(
      RopeOptions rope,
      read_rope(config, {.head_dim = shape.head_dim, .context = context}));
  const ConfigReader in(config);
  const auto* form =
      in.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  const ConfigReader said(in.at(form));
  RAPID_TRY(const float alpha, said.number_or("alpha", 0.0f));
  if (alpha > 0) {
    const double dims = rope.dims;
    rope.base = static_cast<float>(
        rope.base * std::pow(static_cast<double>(alpha), dims / (dims - 2)));
  }
  return rope;
}

Result<std::unique_ptr<Model>> load_hunyuan(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  config = with_defaults(config, {{"rms_norm_eps", 1e-5}});
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      const RopeOptions rope, stretched_rope(config, shape, options.context));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias_of(config, "attention_bias");
  block.attention.output_bias = block.attention.qkv_bias;
  block.attention.head_norm = RmsNormOptions{shape.head_dim, shape.norm_eps};
  block.attention.norm_last = true;
  if (!gguf) {
    block.attention.q_norm = "query_layernorm";
    block.attention.k_norm = "key_layernorm";
  }
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_hunyuan_v1_dense(ModelRegistry& registry) {
  registry.add({"hunyuan_v1_dense", "hunyuan-dense"}, load_hunyuan);
}

}  // namespace rapid
