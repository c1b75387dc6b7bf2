// Qwen3-Next and Qwen3-Coder-Next: three gated delta net layers to one of full
// attention with a gate, experts with a shared one in most layers. Projections
// of a gated delta net lie by key head.
//
// Quirks: as in qwen3_5.cpp, but GGUF keeps the order of value heads.
#include "models/delta_hybrid.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

// Checkpoints may leave out what equals transformers' Qwen3NextConfig.
Json with_defaults(const Json& config) {
  Json out = {
      {"vocab_size", 151936},
      {"hidden_size", 2048},
      {"intermediate_size", 5632},
      {"num_hidden_layers", 48},
      {"num_attention_heads", 16},
      {"num_key_value_heads", 2},
      {"head_dim", 256},
      {"max_position_embeddings", 32768},
      {"linear_conv_kernel_dim", 4},
      {"linear_key_head_dim", 128},
      {"linear_value_head_dim", 128},
      {"linear_num_key_heads", 16},
      {"linear_num_value_heads", 32},
      {"moe_intermediate_size", 512},
      {"shared_expert_intermediate_size", 512},
      {"num_experts_per_tok", 10}};
  out.update(config);
  if (!out.contains("num_experts") && !out.contains("num_local_experts")) {
    out["num_experts"] = 512;
  }
  return out;
}

Result<std::unique_ptr<Model>> load_qwen3_next(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  config = with_defaults(gguf ? with_gguf_delta(*files, config) : config);
  RAPID_TRY(DeltaHybridConfig shape, read_delta_hybrid(config));
  RAPID_TRY(
      const DeltaFeedForward sparse, read_feed_forward(config, shape.shape));
  RAPID_TRY(
      auto map,
      WeightMap::open(
          files, options.exact, gguf ? gguf_delta_names() : Renames()));
  shape.norm_offset = !gguf && norms_less_one(*files) ? 1.0f : 0.0f;
  return load_delta_hybrid(*files, *map, shape, sparse);
}

}  // namespace

void register_model_qwen3_next(ModelRegistry& registry) {
  registry.add({"qwen3_next", "qwen3next"}, load_qwen3_next);
}

}  // namespace rapid
