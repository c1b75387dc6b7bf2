#include "models/moe_decoder.h"

#include <charconv>

namespace rapid {

void skip_later_layers(WeightMap& map, const ModelFiles& files, int layers) {
  const bool gguf = files.container == ModelFiles::Container::gguf;
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    const std::string_view before = gguf ? "blk." : "layers.";
    const size_t at = name.find(before);
    if (at == std::string_view::npos) {
      continue;
    }
    const std::string_view rest = name.substr(at + before.size());
    int layer = 0;
    const auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    if (error == std::errc() && layer >= layers) {
      map.ignore(gguf ? canonical_name(name) : tensor.name);
      // The name where after-attention norms made the map pick the other rule.
      map.ignore(gguf ? canonical_name(name, true) : tensor.name);
    }
  }
}

Result<MoeOptions> read_grouped_moe(
    const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  MoeOptions out{.hidden = shape.hidden};
  RAPID_TRY(out.inner, in.count("moe_intermediate_size"));
  RAPID_TRY(out.experts, read_expert_count(config));
  RAPID_TRY(out.top_k, in.count_or("num_experts_per_tok", 8));
  RAPID_TRY(out.groups, in.count_or("n_group", 1));
  RAPID_TRY(out.top_groups, in.count_or("topk_group", 1));
  RAPID_TRY(out.scale, in.number_or("routed_scaling_factor", 1.0f));
  RAPID_TRY(const int shared, read_whole(config, "n_shared_experts", 1));
  out.shared_inner = shared * out.inner;
  out.score = RouterScore::sigmoid;
  out.correction = Bias::required;
  out.renormalise = in.flag_or("norm_topk_prob", true);
  const Json& score = in.at("scoring_func");
  if (!score.is_null() && score != "sigmoid") {
    return Error{
        ErrorCode::unsupported,
        "routers with scoring_func " + dump_json(score) + " are not supported",
        "supported: sigmoid",
        "scoring_func"};
  }
  return out;
}

Result<std::unique_ptr<Model>> load_moe_decoder(
    const std::shared_ptr<const ModelFiles>& files,
    const LoadOptions& load,
    const DecoderConfig& shape,
    const MoeDecoderOptions& options) {
  RAPID_CHECK(check_experts(options.moe));
  RAPID_TRY(auto map, WeightMap::open(files, load.exact));
  const TextPart text = text_part(*files, *map);
  skip_later_layers(*map, *files, shape.layers);
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(*files, shape, text.root, text.model));
  spine.info.row_floats += moe_row_floats(options.moe);
  std::vector<MoeLayer> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const WeightCursor at = layer_scope(text.model, i);
    const TransformerBlockOptions block = options.layer(i);
    MoeLayerOptions sparse{.moe = options.moe, .scope = options.scope};
    const bool is_sparse = options.sparse(i);
    if (is_sparse && options.experts) {
      RAPID_TRY(sparse.banks, options.experts(at.scope(options.scope)));
    }
    RAPID_TRY(
        MoeLayer next,
        MoeLayer::load(at, block, is_sparse ? &sparse : nullptr));
    spine.states.push_back(
        {.heads = block.attention.kv_heads,
         .dim = block.attention.head_dim,
         .window = block.attention.window,
         .far_keys = next.attention.far_keys(),
         .border = block.attention.rope.border});
    layers.push_back(std::move(next));
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(std::make_unique<LayersDecoder<MoeLayer>>(
      std::move(spine), std::move(layers)));
}

}  // namespace rapid
