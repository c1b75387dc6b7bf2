// DeepSeek V3 and R1 and what has their layers (Kimi K2, GLM-4.7 Flash): latent
// attention, a sigmoid router with a correction and groups, a shared expert;
// the first layers are dense.
//
// Quirks: the rotated parts are neighbouring pairs unless rope_interleave says
// no; yarn's mscale_all_dim scales the scores, too; GGUF gives the latent width
// as key_length and the heads' own as key_length_mla.
#include <algorithm>
#include <cmath>

#include "models/gguf_config.h"
#include "models/moe_decoder.h"
#include "models/registry.h"
#include "nn/latent_attention.h"

namespace rapid {

namespace {

// transformers' DeepseekV3Config.
const Json& family_defaults() {
  static const Json defaults = {
      {"intermediate_size", 18432},
      {"max_position_embeddings", 4096},
      {"moe_intermediate_size", 2048},
      {"kv_lora_rank", 512},
      {"qk_rope_head_dim", 64},
      {"qk_nope_head_dim", 128},
      {"v_head_dim", 128},
      {"n_group", 1},
      {"topk_group", 1},
      {"num_experts_per_tok", 8},
      {"norm_topk_prob", true},
      {"tie_word_embeddings", false}};
  return defaults;
}

// GGUF's metadata under the names of config.json.
Status from_gguf(const ModelFiles& files, Json& config) {
  const GgufFile& gguf = *files.gguf;
  const auto number = [&](const char* key) {
    return gguf.number("deepseek2." + std::string(key));
  };
  const auto whole = [](double value) { return static_cast<int64_t>(value); };
  if (const auto rank = number("attention.q_lora_rank")) {
    config["q_lora_rank"] = whole(*rank);
  }
  if (const auto rank = number("attention.kv_lora_rank")) {
    config["kv_lora_rank"] = whole(*rank);
  }
  const double rope = number("rope.dimension_count").value_or(64);
  const auto apart = number("attention.key_length_mla");
  const auto keys = apart ? apart : number("attention.key_length");
  const auto values = apart ? number("attention.value_length_mla")
                            : number("attention.value_length");
  config["qk_rope_head_dim"] = whole(rope);
  config["qk_nope_head_dim"] = whole(keys.value_or(192) - rope);
  config["v_head_dim"] = whole(values.value_or(128));
  config.erase("partial_rotary_factor");
  if (number("expert_gating_func").value_or(2) != 2) {
    return Error{
        ErrorCode::unsupported,
        "routers of this architecture by softmax are not supported",
        "DeepSeek V3, R1 and later are",
        "expert_gating_func"};
  }
  return {};
}

// Scores are scaled by the square of what yarn's mscale_all_dim gives.
Result<float> yarn_scale(const Json& config) {
  const ConfigReader in(config);
  const ConfigReader rope(
      in.at(in.has("rope_parameters") ? "rope_parameters" : "rope_scaling"));
  const Json& kind =
      rope.has("rope_type") ? rope.at("rope_type") : rope.at("type");
  RAPID_TRY(const float all, rope.number_or("mscale_all_dim", 0.0f));
  RAPID_TRY(const float factor, rope.number_or("factor", 1.0f));
  if (kind.is_null() || kind == "default" || all == 0.0f || factor <= 1.0f) {
    return 1.0f;
  }
  const float scale = 0.1f * all * std::log(factor) + 1.0f;
  return scale * scale;
}

Result<LatentAttentionOptions> read_attention(
    const Json& config, const DecoderConfig& shape, const LoadOptions& load) {
  const ConfigReader in(config);
  LatentAttentionOptions out{.hidden = shape.hidden, .heads = shape.heads};
  RAPID_TRY(out.nope, in.count("qk_nope_head_dim"));
  RAPID_TRY(out.rope, in.count("qk_rope_head_dim"));
  RAPID_TRY(out.values, in.count("v_head_dim"));
  RAPID_TRY(out.rank, in.count("kv_lora_rank"));
  RAPID_TRY(out.q_rank, in.count_or("q_lora_rank", 0));
  out.bias = bias_of(config, "attention_bias");
  RAPID_TRY(
      out.rotation,
      read_rope(config, {.head_dim = out.rope, .context = load.context}));
  out.rotation.interleaved = in.flag_or("rope_interleave", true);
  RAPID_TRY(const float stretched, yarn_scale(config));
  out.scale = stretched / std::sqrt(static_cast<float>(out.nope + out.rope));
  return out;
}

// Dense or sparse by layer: mlp_layer_types, else the first few dense.
Result<std::vector<bool>> read_sparse(const Json& config, int layers) {
  const ConfigReader in(config);
  const bool lite = in.at("model_type") == "glm4_moe_lite";
  RAPID_TRY(const int dense, read_dense_layers(config, lite ? 1 : 3));
  RAPID_TRY(const int every, in.count_or("moe_layer_freq", 1));
  const Json& kinds = in.at("mlp_layer_types");
  std::vector<bool> out;
  for (int i = 0; i < layers; ++i) {
    const auto at = static_cast<size_t>(i);
    out.push_back(
        kinds.is_array() && at < kinds.size() ? kinds[at] == "sparse"
                                              : i >= dense && i % every == 0);
  }
  return out;
}

struct LatentLayer {
  LatentAttention attention;
  FeedForward mlp;

  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const {
    return mlp(attention(x, batch, layer), batch);
  }
};

Result<LatentLayer> load_layer(
    const WeightCursor& at,
    const DecoderConfig& shape,
    const LatentAttentionOptions& options,
    const MoeLayerOptions* sparse) {
  const RmsNormOptions norm{shape.hidden, shape.norm_eps};
  RAPID_TRY(
      BlockNorms first, load_block_norms(at, "input_layernorm", "", norm));
  RAPID_TRY(
      LatentAttention attention,
      LatentAttention::load(at.scope("self_attn"), options, std::move(first)));
  RAPID_TRY(
      BlockNorms second,
      load_block_norms(at, "post_attention_layernorm", "", norm));
  RAPID_TRY(
      FeedForward mlp,
      load_feed_forward(
          at,
          {.hidden = shape.hidden, .inner = shape.inner},
          sparse,
          std::move(second)));
  return LatentLayer{std::move(attention), std::move(mlp)};
}

Result<std::unique_ptr<Model>> load_deepseek_v3(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& load) {
  RAPID_TRY(Json config, model_config(*files));
  if (files->container == ModelFiles::Container::gguf) {
    RAPID_CHECK(from_gguf(*files, config));
  } else {
    config = with_defaults(text_config(config), family_defaults());
  }
  // A head of ours has no one size.
  const Json rotated = config["qk_rope_head_dim"];
  config["head_dim"] = rotated;
  config["num_key_value_heads"] = 1;
  RAPID_TRY(const DecoderConfig shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  RAPID_TRY(
      const LatentAttentionOptions options,
      read_attention(config, shape, load));
  RAPID_TRY(const MoeOptions moe, read_grouped_moe(config, shape));
  const MoeLayerOptions sparse{.moe = moe};
  RAPID_TRY(
      const std::vector<bool> is_sparse, read_sparse(config, shape.layers));

  RAPID_TRY(auto map, WeightMap::open(files, load.exact));
  const TextPart text = text_part(*files, *map);
  skip_later_layers(*map, *files, shape.layers);
  for (const TensorView& tensor : files->tensors) {
    if (tensor.name.starts_with("mm_projector.")) {
      map->ignore(tensor.name);  // images of Kimi K2.5
    }
  }
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(*files, shape, text.root, text.model));
  spine.info.row_floats =
      3 * shape.hidden + latent_row_floats(options) + moe_row_floats(moe);
  std::vector<LatentLayer> layers;
  for (int i = 0; i < shape.layers; ++i) {
    RAPID_TRY(
        LatentLayer next,
        load_layer(
            layer_scope(text.model, i),
            shape,
            options,
            is_sparse[static_cast<size_t>(i)] ? &sparse : nullptr));
    layers.push_back(std::move(next));
    spine.states.push_back(
        {.heads = 1,
         .dim = options.rope + options.rank,
         .border = options.rotation.border});
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(std::make_unique<LayersDecoder<LatentLayer>>(
      std::move(spine), std::move(layers)));
}

}  // namespace

void register_model_deepseek_v3(ModelRegistry& registry) {
  registry.add(
      {"deepseek_v3", "deepseek2", "kimi_k2", "kimi_k25", "glm4_moe_lite"},
      load_deepseek_v3);
}

}  // namespace rapid
