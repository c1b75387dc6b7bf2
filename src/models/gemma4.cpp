// Gemma 4, text part: Gemma 3's layers with heads of another size in full
// layers, a norm of v, keys that serve as values, last layers that read the
// keys of earlier ones, a second table of token vectors with a part for each
// layer, and in some models experts beside each feed-forward part.
//
// Quirks: checkpoints hold the k and v of layers that never use them; GGUF
// says most things by lists per layer and by the tensors it holds.
#include <cmath>

#include "kernels/rowwise.h"
#include "models/block_decoder.h"
#include "models/gemma4_config.h"
#include "models/registry.h"
#include "nn/moe.h"
#include "nn/token_parts.h"
#include "state/paged_kv.h"

namespace rapid {

namespace {

// Experts beside the feed-forward part, and the norm over both.
struct Beside {
  Moe experts;
  RmsNorm after;
};

struct Layer {
  ProjectionPtr in;  // q, and k and v where they are its own
  AttentionPtr mix;
  ProjectionPtr out;
  Mlp mlp;
  std::optional<Beside> beside;
  int state = 0;                   // whose pages it reads
  std::optional<TokenPart> token;  // what the token itself adds behind it
  float scalar = 1.0f;
};

class Gemma4 final : public Decoder {
 public:
  Gemma4(
      DecoderSpine spine,
      std::vector<Layer> layers,
      std::optional<TokenParts> tokens)
      : Decoder(std::move(spine)),
        layers_(std::move(layers)),
        tokens_(std::move(tokens)) {}

 private:
  std::optional<mx::array> beside(
      const mx::array& ids, const mx::array& x) const override {
    return tokens_ ? std::optional((*tokens_)(ids, x)) : std::nullopt;
  }

  mx::array layer(
      int index, const mx::array& x, const RaggedBatch& batch) const override {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const bool shared = l.mix->options.source == KvSource::shared;
    std::vector<AttentionRows> parts;
    for (const RaggedBatch::Rows& rows : batch.sequences) {
      auto& state = dynamic_cast<PagedKv&>(
          *rows.states->at(static_cast<size_t>(l.state)));
      PageList* pages = shared ? state.pages() : state.prepare(rows.count);
      parts.push_back({pages, rows.first, rows.count});
    }
    mx::array y = project(attention(project(x, l.in), l.mix, parts), l.out, x);
    if (l.beside) {
      const mx::array both = l.beside->experts.onto(l.mlp.alone(y, batch), y);
      y = grouped_norm(both, l.beside->after, y);
    } else {
      y = l.mlp(y, batch);
    }
    if (l.token) {
      y = (*l.token)(y, *batch.beside, y);
    }
    return l.scalar == 1.0f ? y : mx::multiply(y, mx::array(l.scalar));
  }

  std::vector<Layer> layers_;
  std::optional<TokenParts> tokens_;
};

TokenPartOptions token_options(const Gemma4Config& config) {
  return {
      .hidden = config.shape.hidden,
      .part = config.token_part,
      .layers = config.shape.layers,
      .rows = config.token_rows,
      .vocabulary = config.shape.vocabulary,
      .norm_eps = config.shape.norm_eps};
}

MoeOptions expert_options(const Gemma4Config& config) {
  MoeOptions out;
  out.hidden = config.shape.hidden;
  out.inner = config.expert_inner;
  out.experts = config.experts;
  out.score = RouterScore::softmax_of_chosen;
  out.top_k = config.top_k;
  out.activation = {.kind = Gating::gelu_tanh};
  out.names.router = "router.proj";
  out.names.stack = "experts.switch_glu";
  return out;
}

class Loader {
 public:
  Loader(const Gemma4Config& config, WeightCursor model)
      : config_(config), model_(std::move(model)) {}

  Result<Layer> layer(int index) const {
    const WeightCursor at = layer_scope(model_, index);
    const Gemma4Layer& plan = config_.layers[static_cast<size_t>(index)];
    const int hidden = config_.shape.hidden;
    RAPID_TRY(
        BlockNorms around,
        norms(at, "input_layernorm", "post_attention_layernorm"));
    const bool sparse = config_.experts > 0;
    RAPID_TRY(
        BlockNorms mlp_norms,
        norms(
            at,
            "pre_feedforward_layernorm",
            sparse ? "post_feedforward_layernorm_1"
                   : "post_feedforward_layernorm"));
    RAPID_TRY(
        Mlp mlp,
        Mlp::load(
            at.scope("mlp"),
            {hidden, plan.inner, Activation::gelu_tanh},
            std::move(mlp_norms)));
    Layer out{
        .mlp = std::move(mlp), .beside = std::nullopt, .state = plan.state};
    if (sparse) {
      RAPID_TRY(out.beside, experts(at));
    }
    RAPID_CHECK(attention(at.scope("self_attn"), plan, around, out));
    if (config_.token_part > 0) {
      RAPID_TRY(out.token, TokenPart::load(at, token_options(config_), index));
    }
    for (const auto* name : {"layer_scalar", "layer_scalar.weight"}) {
      if (at.has(name)) {
        RAPID_TRY(const mx::array scalar, at.vector(name, 1));
        out.scalar = scalar.data<float>()[0];
      }
    }
    return out;
  }

 private:
  Result<BlockNorms> norms(
      const WeightCursor& at,
      const std::string& before,
      const std::string& after) const {
    const RmsNormOptions options{config_.shape.hidden, config_.shape.norm_eps};
    BlockNorms out;
    RAPID_TRY(out.before, load_rms_norm(at, before, options));
    RAPID_TRY(out.after, load_rms_norm(at, after, options));
    return out;
  }

  Result<Beside> experts(const WeightCursor& at) const {
    const DecoderConfig& s = config_.shape;
    RAPID_TRY(
        BlockNorms around,
        norms(
            at, "pre_feedforward_layernorm_2", "post_feedforward_layernorm_2"));
    RAPID_TRY(
        RmsNorm after,
        load_rms_norm(
            at, "post_feedforward_layernorm", {s.hidden, s.norm_eps}));
    MoeOptions options = expert_options(config_);
    // Quirk: GGUF has the two scales beside the matrices.
    const bool gguf = at.has("mlp.gate.scale");
    if (gguf) {
      options.names.router = "mlp.gate";
      options.names.experts = "mlp.switch_mlp";
    }
    RAPID_TRY(
        mx::array scale,
        at.vector(gguf ? "mlp.gate.scale" : "router.scale", s.hidden));
    const float root = 1.0f / std::sqrt(static_cast<float>(s.hidden));
    scale = mx::multiply(mx::astype(scale, mx::float32), mx::array(root));
    scale.eval();
    options.router_norm = RmsNorm{std::move(scale), s.norm_eps};
    RAPID_TRY(
        options.expert_scale,
        at.vector(
            gguf ? "mlp.switch_mlp.down_proj.scale" : "router.per_expert_scale",
            config_.experts));
    RAPID_TRY(Moe experts, Moe::load(at, options, std::move(around)));
    return Beside{std::move(experts), std::move(after)};
  }

  Status attention(
      const WeightCursor& at,
      const Gemma4Layer& plan,
      const BlockNorms& around,
      Layer& out) const {
    const DecoderConfig& s = config_.shape;
    const int q = s.heads * plan.head_dim;
    const int kv = plan.kv_heads * plan.head_dim;
    const KvSource source = plan.shared         ? KvSource::shared
                            : plan.key_is_value ? KvSource::key
                                                : KvSource::own;
    auto in = std::make_shared<Projection>();
    in->before = around.before;
    std::vector<LinearOptions> parts = {{"q_proj", s.hidden, q, config_.bias}};
    if (source != KvSource::shared) {
      parts.push_back({"k_proj", s.hidden, kv, config_.bias});
    }
    if (source == KvSource::own) {
      parts.push_back({"v_proj", s.hidden, kv, config_.bias});
    }
    for (const LinearOptions& part : parts) {
      RAPID_TRY(Linear linear, load_linear(at, part));
      in->parts.push_back(std::move(linear));
    }
    auto back = std::make_shared<Projection>();
    RAPID_TRY(
        Linear matrix, load_linear(at, {"o_proj", q, s.hidden, config_.bias}));
    back->parts.push_back(std::move(matrix));
    back->after = around.after;
    AttentionOptions mix{
        .heads = s.heads,
        .scale = 1.0f,
        .window = plan.window,
        .rope = plan.rope,
        .source = source};
    const RmsNormOptions norm{plan.head_dim, s.norm_eps};
    RAPID_TRY(mix.q_norm, load_rms_norm(at, "q_norm", norm));
    if (source != KvSource::shared) {
      RAPID_TRY(mix.k_norm, load_rms_norm(at, "k_norm", norm));
      mix.v_norm = plain_rms_norm(plan.head_dim, s.norm_eps);
    }
    out.in = std::move(in);
    out.mix = std::make_shared<const Attention>(std::move(mix));
    out.out = std::move(back);
    return {};
  }

  const Gemma4Config& config_;
  WeightCursor model_;
};

Result<std::unique_ptr<Model>> load_gemma4(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(
      const Gemma4Config config, read_gemma4_config(*files, options.context));
  const DecoderConfig& shape = config.shape;
  RAPID_TRY(auto map, WeightMap::open(files, options.exact));
  const TextPart text = text_part(*files, *map);
  for (int i = 0; i < shape.layers; ++i) {
    if (config.layers[static_cast<size_t>(i)].shared) {
      ignore_keys(
          layer_scope(text.model, i),
          {".weight", ".bias", ".scales", ".biases"},
          *map);
    }
  }
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(*files, shape, text.root, text.model));
  spine.embedding_scale = std::sqrt(static_cast<float>(shape.hidden));
  spine.logit_softcap = config.logit_softcap;
  // A row of every layer's part of the token, held to the end of the pass.
  spine.info.row_floats += 2 * config.token_part * shape.layers;
  if (config.experts > 0) {
    RAPID_CHECK(check_experts(expert_options(config)));
    // And both parts before their norm.
    spine.info.row_floats +=
        moe_row_floats(expert_options(config)) + 2 * shape.hidden;
  }

  const Loader loader(config, text.model);
  std::optional<TokenParts> tokens;
  if (config.token_part > 0) {
    RAPID_TRY(tokens, TokenParts::load(text.model, token_options(config)));
  }
  std::vector<Layer> layers;
  for (int i = 0; i < shape.layers; ++i) {
    RAPID_TRY(Layer next, loader.layer(i));
    layers.push_back(std::move(next));
    const Gemma4Layer& plan = config.layers[static_cast<size_t>(i)];
    if (!plan.shared) {
      spine.states.push_back(
          {.heads = plan.kv_heads,
           .dim = plan.head_dim,
           .window = plan.window,
           .border = plan.rope.border});
    }
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  return std::unique_ptr<Model>(std::make_unique<Gemma4>(
      std::move(spine), std::move(layers), std::move(tokens)));
}

}  // namespace

void register_model_gemma4(ModelRegistry& registry) {
  registry.add(
      {"gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"},
      load_gemma4);
}

}  // namespace rapid
