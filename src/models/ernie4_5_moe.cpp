// ERNIE 4.5 with experts: neighbouring dimensions rotated as pairs; a softmax
// router whose choice has a correction, a shared part; layers
// moe_layer_start_index to moe_layer_end_index are sparse, every
// moe_layer_interval-th of them.
#include "models/gguf_config.h"
#include "models/moe_decoder.h"
#include "models/registry.h"

namespace rapid {

namespace {

// transformers' Ernie4_5_MoeConfig.
const Json& family_defaults() {
  static const Json defaults = {
      {"num_key_value_heads", 4},
      {"max_position_embeddings", 131072},
      {"rms_norm_eps", 1e-5},
      {"tie_word_embeddings", true},
      {"moe_intermediate_size", 1536},
      {"moe_k", 6},
      {"moe_num_experts", 64},
      {"moe_num_shared_experts", 2},
      {"moe_layer_start_index", 1},
      {"moe_layer_end_index", -1},
      {"moe_layer_interval", 1}};
  return defaults;
}

Result<MoeOptions> read_moe(const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  MoeOptions out{.hidden = shape.hidden};
  RAPID_TRY(out.inner, in.count("moe_intermediate_size"));
  RAPID_TRY(out.experts, in.count("moe_num_experts"));
  RAPID_TRY(out.top_k, in.count("moe_k"));
  RAPID_TRY(const int shared, read_whole(config, "moe_num_shared_experts", 0));
  out.shared_inner = shared * out.inner;
  out.correction = Bias::if_present;  // mlx-lm leaves it out
  out.renormalise = true;
  out.names.correction = "moe_statics.e_score_correction_bias";
  return out;
}

Result<std::unique_ptr<Model>> load_ernie4_5_moe(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(Json config, model_config(*files));
  config = with_defaults(config, family_defaults());
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  const ConfigReader in(config);
  RAPID_TRY(MoeOptions moe, read_moe(config, shape));
  const Bias bias = in.flag_or("use_bias", false) ? Bias::required : Bias::none;
  moe.shared_bias = bias;  // the experts have none
  RAPID_TRY(const int first, read_whole(config, "moe_layer_start_index", 1));
  RAPID_TRY(int last, read_whole(config, "moe_layer_end_index", -1));
  last = last == -1 ? shape.layers - 1 : last;
  RAPID_TRY(const int interval, in.count("moe_layer_interval"));
  RAPID_TRY(
      RopeOptions rope,
      read_rope(
          config,
          {.base = 5e5f,
           .head_dim = shape.head_dim,
           .context = options.context}));
  rope.interleaved = true;
  TransformerBlockOptions block = plain_block(shape, rope);
  block.attention.qkv_bias = bias;
  block.attention.output_bias = bias;
  block.mlp.bias = bias;
  return load_moe_decoder(
      files,
      options,
      shape,
      {.moe = moe,
       .layer = [&](int) { return block; },
       .sparse =
           [&](int i) {
             return (i + 1) % interval == 0 && i >= first && i <= last;
           }});
}

}  // namespace

void register_model_ernie4_5_moe(ModelRegistry& registry) {
  registry.add({"ernie4_5_moe"}, load_ernie4_5_moe);
}

}  // namespace rapid
