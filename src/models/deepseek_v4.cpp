// DeepSeek V4 (Flash): several residual streams a token, attention over a
// window and compressed entries of all that was before, experts that a table
// or a router picks.
//
// Quirks: the head's last dims are rotated, in pairs; keys are the values, so
// what comes of them is turned back; the first layers' experts come from a
// table of token ids; the layers that guess further tokens (mtp) are skipped.
// What its configuration and names look like: deepseek_v4_parts.h.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/table_router.h"
#include "models/deepseek_v4_parts.h"
#include "models/gguf_config.h"
#include "models/moe_decoder.h"
#include "models/registry.h"

namespace rapid {

namespace {

// Of x [T, hidden], the tokens' ids beside it.
using SparsePart =
    std::function<mx::array(const mx::array& x, const mx::array& ids)>;

struct StreamsLayer {
  HyperConnection around_attention;
  CompressedAttentionLayer attention;
  HyperConnection around_mlp;
  SparsePart mlp;

  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const {
    const auto first = around_attention.read(x);
    const mx::array y = around_attention.write(
        attention(first.rows, batch, layer), first.gates, x);
    const auto second = around_mlp.read(y);
    return around_mlp.write(mlp(second.rows, *batch.beside), second.gates, y);
  }
};

class StreamsDecoder final : public Decoder {
 public:
  StreamsDecoder(
      DecoderSpine spine,
      std::vector<StreamsLayer> layers,
      HyperConnection end,
      int streams)
      : Decoder(std::move(spine)),
        layers_(std::move(layers)),
        end_(std::move(end)),
        streams_(streams) {}

 private:
  std::optional<mx::array> beside(
      const mx::array& ids, const mx::array& /*x*/) const override {
    return ids;
  }
  mx::array widen(const mx::array& x) const override {
    return mx::concatenate(
        std::vector<mx::array>(static_cast<size_t>(streams_), x), 1);
  }
  mx::array narrow(const mx::array& x) const override {
    return end_.read(x).rows;
  }
  mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const override {
    return layers_[static_cast<size_t>(index)](x, batch, index);
  }

  std::vector<StreamsLayer> layers_;
  HyperConnection end_;
  int streams_;
};

template <typename T>
std::vector<int32_t> numbers_of(const TensorView& view) {
  std::vector<int32_t> out(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < out.size(); ++i) {
    T value = 0;
    std::memcpy(&value, view.bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = value < 0 || value > (1 << 30) ? -1 : static_cast<int32_t>(value);
  }
  return out;
}

// The experts of each token of the vocabulary.
Result<TableRouterPtr> load_table(
    const WeightCursor& mlp, const MoeOptions& o, int vocabulary) {
  RAPID_TRY(
      const TensorView view, mlp.raw("gate.tid2eid", {vocabulary, o.top_k}));
  std::vector<int32_t> ids;
  if (view.type == TensorType::i64) {
    ids = numbers_of<int64_t>(view);
  } else if (view.type == TensorType::i32) {
    ids = numbers_of<int32_t>(view);
  }
  bool known = !ids.empty();
  for (const int32_t id : ids) {
    known = known && id >= 0 && id < o.experts;
  }
  if (!known) {
    return Error{
        ErrorCode::corrupt,
        fmt::format(
            "tensor {}: expected whole numbers below {}", view.name, o.experts),
        "the file is damaged, or its architecture is not what it says"};
  }
  mx::array table(ids.data(), {vocabulary, o.top_k}, mx::int32);
  table.eval();
  return TableRouterPtr(std::make_shared<TableRouter>(
      TableRouter{std::move(table), o.score, o.scale}));
}

Result<SparsePart> load_sparse(
    const WeightCursor& layer, const DeepseekV4Config& config, bool by_table) {
  const WeightCursor mlp = layer.scope("mlp");
  MoeOptions o = config.moe;
  const auto shared = mlp.shape("shared_experts.up_proj.weight");
  o.shared_inner = shared.empty() ? 0 : static_cast<int>(shared.front());
  RAPID_TRY(
      BlockNorms norms,
      load_block_norms(
          layer,
          "post_attention_layernorm",
          "",
          {config.shape.hidden, config.shape.norm_eps}));
  RAPID_TRY(auto banks, load_packed_experts(mlp, o));
  if (!by_table) {
    o.correction = Bias::required;
    RAPID_TRY(Moe moe, Moe::load(mlp, o, std::move(norms), std::move(banks)));
    return SparsePart(
        [moe = std::move(moe)](const mx::array& x, const mx::array&) {
          return moe.alone(x);
        });
  }
  auto gate = std::make_shared<Projection>();
  gate->before = norms.before;
  RAPID_TRY(Linear matrix, load_exact(mlp, {"gate", o.hidden, o.experts}));
  gate->parts.push_back(std::move(matrix));
  RAPID_TRY(TableRouterPtr table, load_table(mlp, o, config.shape.vocabulary));
  o.scores_given = true;
  o.score = RouterScore::given;
  o.renormalise = false;
  o.scale = 1.0f;
  RAPID_TRY(Moe moe, Moe::load(mlp, o, std::move(norms), std::move(banks)));
  return SparsePart(
      [gate = ProjectionPtr(std::move(gate)),
       table = std::move(table),
       moe = std::move(moe)](const mx::array& x, const mx::array& ids) {
        return moe.by_scores(x, table_weights(project(x, gate), ids, table));
      });
}

Result<StreamsLayer> load_layer(
    const WeightCursor& at, const DeepseekV4Config& config, size_t index) {
  RAPID_TRY(
      HyperConnection first,
      HyperConnection::load(at.scope("attn_hc"), config.streams));
  RAPID_TRY(
      RmsNorm norm,
      load_rms_norm(
          at, "input_layernorm", {config.shape.hidden, config.shape.norm_eps}));
  RAPID_TRY(
      CompressedAttentionLayer attention,
      CompressedAttentionLayer::load(
          at.scope("self_attn"), config.attention[index], std::move(norm)));
  RAPID_TRY(
      HyperConnection second,
      HyperConnection::load(at.scope("ffn_hc"), config.streams));
  RAPID_TRY(SparsePart mlp, load_sparse(at, config, config.by_table[index]));
  return StreamsLayer{
      std::move(first),
      std::move(attention),
      std::move(second),
      std::move(mlp)};
}

int most_row_floats(const DeepseekV4Config& config) {
  int attention = 0;
  for (const CompressedAttentionOptions& o : config.attention) {
    attention = std::max(attention, compressed_row_floats(o));
  }
  const int streams = config.streams.streams;
  return 3 * streams * config.shape.hidden + (2 + streams) * streams +
         std::max(attention, moe_row_floats(config.moe));
}

Result<std::unique_ptr<Model>> load_deepseek_v4(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& load) {
  if (files->container == ModelFiles::Container::gguf) {
    return Error{
        ErrorCode::unsupported,
        "GGUF files of this architecture are not supported",
        "its safetensors files are"};
  }
  RAPID_TRY(const Json json, model_config(*files));
  RAPID_TRY(const DeepseekV4Config config, read_deepseek_v4(text_config(json)));
  const DecoderConfig& shape = config.shape;
  const DeepseekV4Names names = deepseek_v4_names(*files);
  RAPID_TRY(auto map, WeightMap::open(files, load.exact, names.renames));
  for (const TensorView& tensor : files->tensors) {
    if (tensor.name.starts_with("mtp.") ||
        tensor.name.starts_with("model.mtp.")) {
      map->ignore_file(tensor);
    }
  }
  skip_later_layers(*map, *files, shape.layers);
  const WeightCursor top(*map);
  const WeightCursor model = names.bare ? top : top.scope("model");
  RAPID_TRY(DecoderSpine spine, DecoderSpine::load(*files, shape, top, model));
  spine.info.row_floats = most_row_floats(config);
  std::vector<StreamsLayer> layers;
  for (int i = 0; i < shape.layers; ++i) {
    const auto at = static_cast<size_t>(i);
    RAPID_TRY(StreamsLayer next, load_layer(layer_scope(model, i), config, at));
    layers.push_back(std::move(next));
    spine.states.push_back({.compressed = config.attention[at].shape});
  }
  HyperOptions end = config.streams;
  end.last = true;
  RAPID_TRY(
      HyperConnection head, HyperConnection::load(model.scope("hc_head"), end));
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(std::make_unique<StreamsDecoder>(
      std::move(spine), std::move(layers), std::move(head), end.streams));
}

}  // namespace

void register_model_deepseek_v4(ModelRegistry& registry) {
  registry.add({"deepseek_v4"}, load_deepseek_v4);
}

}  // namespace rapid
