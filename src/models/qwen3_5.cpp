// Qwen3.5, text part: three gated delta net layers to one of full attention,
// whose output has a gate and whose rotation turns a quarter of a head; a gated
// MLP or experts with a shared one.
// (The rotation's sections for images turn text like a plain one.)
//
// Quirks: checkpoints as published store norms less one and the convolution as
// [C, 1, K]; those that mlx-lm has converted store it as [C, K, 1] and norms
// with the one added. GGUF holds the one, too, exp of A_log negated, and value
// heads in turns of the key heads. What belongs to images and to the head that
// predicts several tokens is known and skipped.
#include <algorithm>
#include <cmath>

#include "models/decoder.h"
#include "models/delta_hybrid.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

// Checkpoints may leave out what equals transformers' Qwen3_5TextConfig.
Json with_defaults(const Json& config) {
  Json out = {
      {"vocab_size", 248320},
      {"hidden_size", 4096},
      {"intermediate_size", 12288},
      {"num_hidden_layers", 32},
      {"num_attention_heads", 16},
      {"num_key_value_heads", 4},
      {"head_dim", 256},
      {"max_position_embeddings", 32768},
      {"linear_conv_kernel_dim", 4},
      {"linear_key_head_dim", 128},
      {"linear_value_head_dim", 128},
      {"linear_num_key_heads", 16},
      {"linear_num_value_heads", 32},
      {"moe_intermediate_size", 512},
      {"shared_expert_intermediate_size", 512},
      {"num_experts_per_tok", 8}};
  const auto text = config.find("text_config");
  const bool nested = text != config.end() && text->is_object();
  out.update(nested ? *text : config);
  for (const auto* key : {"eos_token_id", "tie_word_embeddings"}) {
    if (nested && config.contains(key) && !out.contains(key)) {
      out[key] = config[key];
    }
  }
  return out;
}

Result<std::unique_ptr<Model>> load_qwen3_5(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  config = gguf ? with_gguf_delta(*files, config) : with_defaults(config);
  RAPID_TRY(DeltaHybridConfig shape, read_delta_hybrid(config));
  RAPID_TRY(
      const DeltaFeedForward sparse, read_feed_forward(config, shape.shape));
  RAPID_TRY(
      auto map,
      WeightMap::open(
          files, options.exact, gguf ? gguf_delta_names() : Renames()));
  shape.norm_offset = !gguf && norms_less_one(*files) ? 1.0f : 0.0f;
  shape.tiled = gguf;
  return load_delta_hybrid(*files, *map, shape, sparse);
}

}  // namespace

void register_model_qwen3_5(ModelRegistry& registry) {
  registry.add(
      {"qwen3_5",
       "qwen3_5_text",
       "qwen3_5_moe",
       "qwen3_5_moe_text",
       "qwen35",
       "qwen35moe"},
      load_qwen3_5);
}

}  // namespace rapid
