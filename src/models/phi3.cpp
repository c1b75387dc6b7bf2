// Phi-3, Phi-3.5, Phi-4 and Phi-4-mini: Llama's layers with q, k and v as one
// matrix and gate and up as another, a part of each head rotated, longrope.
//
// Quirks: "su" and "yarn" name longrope in old files; the trained length
// stands beside the rotation; GGUF calls gate and up together ffn_up.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

void rename_longrope(Json& config, const char* form) {
  if (!config.contains(form) || !config[form].is_object()) {
    return;
  }
  for (const auto* key : {"rope_type", "type"}) {
    const Json kind = config[form].value(key, Json());
    if (kind == "su" || kind == "yarn") {
      config[form][key] = "longrope";
    }
  }
}

Result<std::unique_ptr<Model>> load_phi3(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = with_defaults(
        config,
        {{"original_max_position_embeddings", 4096},
         {"max_position_embeddings", 4096},
         {"rms_norm_eps", 1e-5}});
  }
  rename_longrope(config, "rope_scaling");
  rename_longrope(config, "rope_parameters");
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      const RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.fused = "qkv_proj";
  block.attention.window = shape.sliding_window;
  block.mlp.fused = gguf ? "up_proj" : "gate_up_proj";
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_phi3(ModelRegistry& registry) {
  registry.add({"phi3"}, load_phi3);
}

}  // namespace rapid
