#include "advice/model_shape.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "advice/layer_kinds.h"

namespace rapid {
namespace {

constexpr int64_t kPageTokens = 64;  // of the engine's pages
constexpr int kConvBytes = 4;

class Reader {
 public:
  Reader(const Json& whole, const Json& text)
      : whole_(whole), fields_(text), top_(whole) {}

  Result<ModelShape> read() {
    shape_.hidden = static_cast<int>(fields_.number({"hidden_size"}));
    shape_.vocabulary = static_cast<int>(fields_.number({"vocab_size"}));
    shape_.context =
        static_cast<int>(fields_.number({"max_position_embeddings"}));
    RAPID_TRY(layers_, layer_kinds(fields_));
    if (shape_.hidden <= 0 || shape_.vocabulary <= 0 || layers_.empty()) {
      return Error{
          ErrorCode::unsupported,
          "the configuration does not tell hidden size, vocabulary and layers"};
    }
    for (const LayerKind& layer : layers_) {
      shape_.blocks += (layer.mixer != Mixer::none ? 1 : 0) +
                       (layer.experts || layer.dense ? 1 : 0);
      add_mixer(layer);
      shape_.plain_params += 2 * hidden();
      if (layer.experts) {
        add_experts();
      }
      if (layer.dense) {
        add_matrix(gates() * hidden() * dense_width());
        widen(2 * dense_width());
      }
    }
    add_ends();
    add_streams();
    add_vision();
    return shape_;
  }

 private:
  uint64_t hidden() const { return static_cast<uint64_t>(shape_.hidden); }
  uint64_t size(std::initializer_list<const char*> names) const {
    return fields_.size(names);
  }
  void add_matrix(uint64_t params) {
    shape_.matrix_params += params;
    shape_.active_matrix_params += params;
  }
  void widen(uint64_t width) {
    shape_.widest = std::max(shape_.widest, static_cast<int>(width));
  }

  // Matrices of a feed-forward: gate, up and down, or without a gate.
  uint64_t gates() const {
    return fields_.text("mlp_hidden_act") == "relu2" ? 2 : 3;
  }

  uint64_t dense_width() const {
    const uint64_t width = size({"intermediate_size", "block_ff_dim"});
    const uint64_t multiple = size({"block_multiple_of"});
    if (expert_count(fields_) == 0 && size({"shared_intermediate_size"}) > 0) {
      return size({"shared_intermediate_size"});
    }
    if (multiple == 0 || !fields_.flag("block_auto_adjust_ff_dim", true)) {
      return width;
    }
    const auto adjusted = static_cast<uint64_t>(
        fields_.real("block_ffn_dim_multiplier", 1) *
        static_cast<double>(2 * width / 3));
    return (adjusted + multiple - 1) / multiple * multiple;
  }

  uint64_t shared_width() const {
    const uint64_t named = size(
        {"shared_expert_intermediate_size",
         "moe_shared_expert_intermediate_size",
         "shared_intermediate_size"});
    return named > 0 ? named
                     : size({"n_shared_experts", "moe_num_shared_experts"}) *
                           size({"moe_intermediate_size"});
  }

  void add_mixer(const LayerKind& layer) {
    const Mixer mixer = layer.mixer;
    switch (mixer) {
      case Mixer::none:
        break;
      case Mixer::compressed:
        add_compressed(layer);
        break;
      case Mixer::attention:
      case Mixer::sliding:
        size({"kv_lora_rank"}) > 0 ? add_latent()
                                   : add_attention(mixer == Mixer::sliding);
        break;
      case Mixer::delta:
        add_delta();
        break;
      case Mixer::mamba:
        add_mamba();
        break;
      case Mixer::conv:
        add_conv();
        break;
    }
  }

  void keep(
      uint64_t width,
      uint64_t window,
      uint64_t queries,
      uint64_t rate = 1,
      int bits = 0) {
    auto& runs = shape_.attention;
    const ModelShape::KvLayers run = {
        0,
        static_cast<int>(width),
        static_cast<int>(window),
        static_cast<int>(queries),
        static_cast<int>(rate),
        bits};
    if (runs.empty() || runs.back().width != run.width ||
        runs.back().window != run.window || runs.back().rate != run.rate) {
      runs.push_back(run);
    }
    ++runs.back().count;
  }

  // One head of keys that are the values, all float32.
  void add_compressed(const LayerKind& layer) {
    constexpr int kBits = 32;
    const uint64_t dim = size({"head_dim"});
    const uint64_t queries = size({"num_attention_heads"}) * dim;
    const uint64_t low = size({"q_lora_rank"});
    const uint64_t rank = size({"o_lora_rank"});
    const uint64_t window = size({"sliding_window"});
    add_matrix(
        hidden() * (low + dim) + low * queries + queries * rank +
        size({"o_groups"}) * rank * hidden());
    uint64_t pending = 0;
    if (layer.rate > 0) {
      const uint64_t series = layer.indexed ? 2 : 1;
      const uint64_t index = layer.indexed ? size({"index_head_dim"}) : 0;
      const uint64_t heads = layer.indexed ? size({"index_n_heads"}) : 0;
      pending = 2 * series * (dim + index);
      add_matrix(hidden() * (pending + heads) + low * heads * index);
      shape_.plain_params += layer.rate * pending / 2;
      keep(pending, series * layer.rate, 0, 1, kBits);
      // The index meets every entry once, the heads those that it picks.
      keep(
          dim + index,
          0,
          layer.indexed ? heads * index / 2 : queries,
          layer.rate,
          kBits);
    }
    if (layer.indexed) {  // of each entry that is seen, nothing more is kept
      keep(0, size({"index_topk"}) * layer.rate, queries, layer.rate, kBits);
    }
    keep(dim, window, queries, 1, kBits);
    widen(2 * queries + low + dim + pending);
  }

  // Several residual streams, the gates between them, and tables that tell
  // experts by a token's id.
  void add_streams() {
    const uint64_t streams = size({"hc_mult"});
    if (!has_compressed_attention(fields_) || streams == 0) {
      return;
    }
    const uint64_t row = streams * hidden();
    shape_.plain_params += static_cast<uint64_t>(shape_.layers) * 2 *
                               (2 + streams) * row * streams +
                           streams * row;
    uint64_t tables =
        fields_.holds("mlp_layer_types") ? 0 : size({"num_hash_layers"});
    if (const Json* kinds = fields_.list("mlp_layer_types")) {
      tables =
          static_cast<uint64_t>(std::ranges::count(*kinds, Json("hash_moe")));
    }
    shape_.plain_params += tables * static_cast<uint64_t>(shape_.vocabulary) *
                           size({"num_experts_per_tok"});
    widen(3 * row);
  }

  void add_attention(bool sliding) {
    const uint64_t heads = std::max<uint64_t>(size({"num_attention_heads"}), 1);
    const uint64_t kv_named = size({"num_key_value_heads"});
    const uint64_t kv = kv_named > 0 ? kv_named : heads;
    const uint64_t named = size({"head_dim"});
    const uint64_t dim = named > 0 ? named : hidden() / heads;
    // Delta hybrids gate the output by a second half of the queries.
    const bool gated = size({"linear_num_value_heads"}) > 0;
    add_matrix(
        hidden() * heads * dim * (gated ? 2 : 1) + 2 * hidden() * kv * dim +
        heads * dim * hidden());
    widen((heads + 2 * kv) * dim);
    keep(2 * kv * dim, sliding ? size({"sliding_window"}) : 0, heads * dim);
  }

  void add_latent() {
    const uint64_t heads = size({"num_attention_heads"});
    const uint64_t latent = size({"kv_lora_rank"});
    const uint64_t rope = size({"qk_rope_head_dim"});
    const uint64_t nope = size({"qk_nope_head_dim"});
    const uint64_t value = size({"v_head_dim"});
    const uint64_t low = size({"q_lora_rank"});
    const uint64_t queries = heads * (nope + rope);
    add_matrix(low > 0 ? hidden() * low + low * queries : hidden() * queries);
    add_matrix(
        hidden() * (latent + rope) + latent * heads * (nope + value) +
        heads * value * hidden());
    widen(queries + heads * (latent + rope));
    keep(latent + rope, 0, heads * (latent + rope));
  }

  void add_recurrent(uint64_t state, uint64_t channels, uint64_t kernel) {
    ++shape_.recurrent_layers;
    shape_.recurrent_bytes +=
        state * sizeof(float) +
        (kernel > 0 ? kernel - 1 : 0) * channels * kConvBytes;
    shape_.plain_params += channels * kernel;
  }

  void add_delta() {
    const uint64_t keys =
        size({"linear_num_key_heads"}) * size({"linear_key_head_dim"});
    const uint64_t heads = size({"linear_num_value_heads"});
    const uint64_t values = heads * size({"linear_value_head_dim"});
    const uint64_t channels = 2 * keys + values;
    add_matrix(hidden() * (channels + values + 2 * heads) + values * hidden());
    widen(channels + values);
    add_recurrent(
        values * size({"linear_key_head_dim"}),
        channels,
        size({"linear_conv_kernel_dim"}));
  }

  void add_mamba() {
    const uint64_t heads = size({"mamba_num_heads", "mamba_n_heads"});
    uint64_t dim = size({"mamba_head_dim", "mamba_d_head"});
    if (dim == 0 && heads > 0) {
      dim = size({"mamba_expand"}) * hidden() / heads;
    }
    const uint64_t inner = heads * dim;
    const uint64_t state = size({"ssm_state_size", "mamba_d_state"});
    const uint64_t channels =
        inner + 2 * size({"n_groups", "mamba_n_groups"}) * state;
    add_matrix(hidden() * (inner + channels + heads) + inner * hidden());
    widen(inner + channels);
    add_recurrent(
        inner * state, channels, size({"conv_kernel", "mamba_d_conv"}));
  }

  void add_conv() {
    add_matrix(4 * hidden() * hidden());
    widen(3 * hidden());
    add_recurrent(0, hidden(), size({"conv_L_cache"}));
  }

  void add_experts() {
    const uint64_t count = expert_count(fields_);
    const uint64_t named = size({"moe_intermediate_size"});
    const uint64_t width = named > 0 ? named : size({"intermediate_size"});
    const uint64_t used = std::min(
        count,
        std::max<uint64_t>(
            size({"num_experts_per_tok", "moe_k", "top_k_experts"}), 1));
    // What experts see may be narrower: a projection before and one behind.
    const uint64_t latent = size({"moe_latent_size"});
    const uint64_t seen = latent > 0 ? latent : hidden();
    add_matrix(2 * latent * hidden());
    const uint64_t one = gates() * seen * width;
    ++shape_.expert_layers;
    shape_.expert_params += count * one;
    shape_.active_expert_params += used * one;
    add_matrix(hidden() * count + gates() * hidden() * shared_width());
    widen(used * 2 * width + 2 * shared_width());
  }

  void add_ends() {
    const uint64_t table = hidden() * static_cast<uint64_t>(shape_.vocabulary);
    // One of the two rows sets is only looked up.
    const bool tied = fields_.flag(
        "tie_word_embeddings", top_.flag("tie_word_embeddings", true));
    shape_.matrix_params += (tied ? 1 : 2) * table;
    shape_.active_matrix_params += table;
    shape_.plain_params += hidden();
    shape_.layers = static_cast<int>(layers_.size());
  }

  void add_vision() {
    const auto found = whole_.find("vision_config");
    if (found == whole_.end() || !found->is_object()) {
      return;
    }
    const ConfigFields vision(*found);
    const auto number = [&](const char* name) { return vision.size({name}); };
    const uint64_t width = number("hidden_size");
    const uint64_t merge = number("spatial_merge_size");
    const uint64_t merged = width * merge * merge;
    const uint64_t patch =
        number("patch_size") * number("patch_size") *
        std::max<uint64_t>(number("temporal_patch_size"), 1) *
        std::max<uint64_t>(number("in_channels"), 1);
    shape_.vision_params =
        number("depth") *
            (4 * width * width + 2 * width * number("intermediate_size")) +
        merged * merged + merged * number("out_hidden_size") + patch * width +
        number("num_position_embeddings") * width;
  }

  const Json& whole_;
  ConfigFields fields_;
  ConfigFields top_;
  ModelShape shape_;
  std::vector<LayerKind> layers_;
};

}  // namespace

Result<ModelShape> model_shape(const Json& config) {
  if (!config.is_object()) {
    return Error{ErrorCode::unsupported, "the configuration is no object"};
  }
  const auto inner = config.find("text_config");
  const bool parts = inner != config.end() && inner->is_object();
  return Reader(config, parts ? *inner : config).read();
}

StateCost ModelShape::states(int kv_bits) const {
  // A group of codes carries its scale: one bit a value.
  const int bits = kv_bits < 16 ? kv_bits + 1 : kv_bits;
  StateCost out;
  for (const KvLayers& run : attention) {
    if (run.width == 0) {
      continue;
    }
    out.add(
        {.count = run.count,
         .page_bytes = static_cast<uint64_t>(run.width) * kPageTokens *
                       static_cast<uint64_t>(run.bits > 0 ? run.bits : bits) /
                       8,
         .page_tokens = int64_t{kPageTokens} * run.rate,
         .window = run.window});
  }
  out.fixed_bytes = recurrent_bytes;
  return out;
}

// Each token meets those before it, or the last `window` of them: a product
// with keys and one with values.
double ModelShape::attention_flops(int tokens) const {
  double out = 0;
  for (const KvLayers& run : attention) {
    const double n = tokens;
    const double seen = run.window > 0 && run.window < tokens
                            ? n * run.window - 0.5 * run.window * run.window
                            : 0.5 * n * n;
    out += 4.0 * run.count * run.queries * seen / run.rate;
  }
  return out;
}

}  // namespace rapid
