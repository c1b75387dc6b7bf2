// Mistral, Ministral 3 and the text part of Mistral Small 3: Llama's layers
// with a sliding window, and queries that grow with their position where
// rope_parameters say llama_4_scaling_beta.
//
// Quirk: GGUF files hold q and k permuted, as Llama's do.
#include "models/block_decoder.h"
#include "models/gguf_config.h"
#include "models/registry.h"

namespace rapid {

namespace {

// What the families' configurations leave out (transformers).
Json family_defaults(const Json& config) {
  if (config.value("model_type", "") == "ministral3") {
    return {
        {"vocab_size", 131072},
        {"hidden_size", 4096},
        {"intermediate_size", 14336},
        {"num_hidden_layers", 34},
        {"num_attention_heads", 32},
        {"num_key_value_heads", 8},
        {"head_dim", 128},
        {"max_position_embeddings", 262144},
        {"rms_norm_eps", 1e-5},
        {"eos_token_id", 2},
        {"rope_parameters",
         {{"rope_type", "yarn"},
          {"rope_theta", 1e6},
          {"factor", 16.0},
          {"original_max_position_embeddings", 16384},
          {"mscale", 1.0},
          {"mscale_all_dim", 1.0},
          {"llama_4_scaling_beta", 0.1}}}};
  }
  return {
      {"vocab_size", 32000},
      {"hidden_size", 4096},
      {"intermediate_size", 14336},
      {"num_hidden_layers", 32},
      {"num_attention_heads", 32},
      {"num_key_value_heads", 8},
      {"max_position_embeddings", 131072},
      {"sliding_window", 4096},
      {"eos_token_id", 2}};
}

Status read_growth(const Json& config, SelfAttentionOptions& attention) {
  const ConfigReader in(config);
  const auto* form =
      in.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  const ConfigReader rope(in.at(form));
  const auto* key = "llama_4_scaling_beta";
  RAPID_TRY(const float outside, in.number_or(key, 0.0f));  // GGUF
  RAPID_TRY(attention.growth, rope.number_or(key, outside));
  RAPID_TRY(
      attention.growth_tokens,
      rope.count_or("original_max_position_embeddings", 1 << 30));
  return {};
}

Result<std::unique_ptr<Model>> load_mistral(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  const bool gguf = files->container == ModelFiles::Container::gguf;
  RAPID_TRY(Json config, model_config(*files));
  if (!gguf) {
    config = text_config(config);
    config = with_defaults(config, family_defaults(config));
  }
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      RopeOptions rope,
      read_rope(
          config, {.head_dim = shape.head_dim, .context = options.context}));
  rope.interleaved = gguf;
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.paired_rows = gguf;
  block.attention.window = shape.sliding_window;
  RAPID_CHECK(read_growth(config, block.attention));
  return load_block_decoder(
      files, options, shape, {.layer = [&](int) { return block; }});
}

}  // namespace

void register_model_mistral(ModelRegistry& registry) {
  registry.add({"mistral", "ministral3", "mistral3"}, load_mistral);
}

}  // namespace rapid
