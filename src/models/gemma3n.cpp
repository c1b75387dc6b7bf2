// Gemma 3n, text part: several residual streams of which each layer works on
// one (AltUp), a low-rank part beside attention (Laurel), a part of the token
// for each layer, last layers that read the keys of earlier ones, and first
// layers that keep but the few largest gates of the feed-forward part.
//
// Quirks: checkpoints hold the k and v of layers that never use them; the
// second table may be shorter than the vocabulary.
#include <cmath>

#include "kernels/rowwise.h"
#include "models/block_decoder.h"
#include "models/gemma3n_config.h"
#include "models/registry.h"
#include "state/paged_kv.h"

namespace rapid {

namespace {

// Where the normal distribution has `share` below it.
float normal_quantile(double share) {
  double low = -10;
  double high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    const double below = 0.5 * std::erfc(-middle / std::sqrt(2.0));
    (below < share ? low : high) = middle;
  }
  return static_cast<float>(low);
}

// The feed-forward part of a layer that keeps but its largest gates.
struct SparseMlp {
  ProjectionPtr in;  // gate and up
  ProjectionPtr down;
  int inner = 0;
  float deviations = 0;

  mx::array operator()(const mx::array& x) const {
    const mx::array both = project(x, in);
    const mx::array gate = above_spread(both, inner, deviations);
    return project(
        gated_columns(gate, both, inner, Activation::gelu_tanh), down, x);
  }
};

struct Layer {
  AltUp altup;
  RmsNorm norm;
  ProjectionPtr laurel_in;
  ProjectionPtr laurel_out;
  ProjectionPtr in;  // q, and k and v where they are its own
  AttentionPtr mix;
  ProjectionPtr out;
  std::function<mx::array(const mx::array&, const RaggedBatch&)> mlp;
  TokenPart token;
  int state = 0;  // whose pages it reads
};

class Gemma3n final : public Decoder {
 public:
  Gemma3n(
      DecoderSpine spine,
      std::vector<Layer> layers,
      TokenParts tokens,
      std::vector<ProjectionPtr> widen,
      std::vector<ProjectionPtr> narrow)
      : Decoder(std::move(spine)),
        layers_(std::move(layers)),
        tokens_(std::move(tokens)),
        widen_(std::move(widen)),
        narrow_(std::move(narrow)) {}

 private:
  std::optional<mx::array> beside(
      const mx::array& ids, const mx::array& x) const override {
    return tokens_(ids, x);
  }

  mx::array widen(const mx::array& x) const override {
    std::vector<mx::array> streams = {x};
    for (const ProjectionPtr& made : widen_) {
      streams.push_back(as_long_as(project(x, made), x));
    }
    return mx::concatenate(std::move(streams), 1);
  }

  // The mean of all streams, each as long as the first.
  mx::array narrow(const mx::array& x) const override {
    const auto count = static_cast<int>(narrow_.size()) + 1;
    const int width = x.shape(1) / count;
    const auto stream = [&](int i) {
      return mx::slice(x, {0, i * width}, {x.shape(0), (i + 1) * width});
    };
    const mx::array first = stream(0);
    mx::array sum = first;
    for (int i = 1; i < count; ++i) {
      const auto& made = narrow_[static_cast<size_t>(i - 1)];
      sum = mx::add(sum, as_long_as(project(stream(i), made), first));
    }
    return mx::divide(sum, mx::array(static_cast<float>(count)));
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
    const AltUp::Streams predicted = l.altup.predict(x);
    const mx::array normed = grouped_norm(predicted.active, l.norm);
    const mx::array laurel =
        project(project(normed, l.laurel_in), l.laurel_out, normed);
    const mx::array attended = project(
        attention(project(normed, l.in), l.mix, parts),
        l.out,
        predicted.active);
    const mx::array both = mx::multiply(
        mx::add(attended, laurel),
        mx::array(static_cast<float>(std::sqrt(0.5))));
    const AltUp::Streams corrected =
        l.altup.correct(predicted.all, l.mlp(both, batch));
    return l.altup.add(l.token(corrected.active, *batch.beside), corrected.all);
  }

  std::vector<Layer> layers_;
  TokenParts tokens_;
  std::vector<ProjectionPtr> widen_;
  std::vector<ProjectionPtr> narrow_;
};

Result<std::shared_ptr<Projection>> load_projection(
    const WeightCursor& cursor, const std::vector<LinearOptions>& parts) {
  auto out = std::make_shared<Projection>();
  for (const LinearOptions& part : parts) {
    RAPID_TRY(Linear linear, load_linear(cursor, part));
    out->parts.push_back(std::move(linear));
  }
  return out;
}

class Loader {
 public:
  Loader(const Gemma3nConfig& config, WeightCursor model)
      : config_(config), model_(std::move(model)) {}

  Result<Layer> layer(int index) const {
    const WeightCursor at = layer_scope(model_, index);
    const Gemma3nLayer& plan = config_.layers[static_cast<size_t>(index)];
    RAPID_TRY(AltUp altup, AltUp::load(at.scope("altup"), config_.altup));
    RAPID_TRY(
        RmsNorm norm, load_rms_norm(at, "input_layernorm", hidden_norm()));
    RAPID_TRY(TokenPart token, TokenPart::load(at, config_.token, index));
    Layer out{
        .altup = std::move(altup),
        .norm = std::move(norm),
        .token = std::move(token),
        .state = plan.state};
    const WeightCursor laurel = at.scope("laurel");
    const int hidden = config_.shape.hidden;
    const int rank = config_.laurel_rank;
    RAPID_TRY(
        out.laurel_in,
        load_projection(laurel, {{"linear_left", hidden, rank}}));
    RAPID_TRY(
        auto back, load_projection(laurel, {{"linear_right", rank, hidden}}));
    RAPID_TRY(
        back->after, load_rms_norm(laurel, "post_laurel_norm", hidden_norm()));
    out.laurel_out = std::move(back);
    RAPID_CHECK(attention(at, plan, out));
    RAPID_CHECK(mlp(at, plan, out));
    return out;
  }

  // What makes the other streams, or takes them back.
  Result<std::vector<ProjectionPtr>> streams(const std::string& name) const {
    std::vector<ProjectionPtr> out;
    const int hidden = config_.shape.hidden;
    for (int i = 0; i + 1 < config_.altup.streams; ++i) {
      const std::string own = name + "." + std::to_string(i);
      RAPID_TRY(auto made, load_projection(model_, {{own, hidden, hidden}}));
      out.push_back(std::move(made));
    }
    return out;
  }

 private:
  RmsNormOptions hidden_norm() const {
    return {config_.shape.hidden, config_.shape.norm_eps};
  }

  Status attention(
      const WeightCursor& layer, const Gemma3nLayer& plan, Layer& out) const {
    const WeightCursor at = layer.scope("self_attn");
    const DecoderConfig& s = config_.shape;
    const int q = s.heads * s.head_dim;
    const int kv = s.kv_heads * s.head_dim;
    std::vector<LinearOptions> parts = {{"q_proj", s.hidden, q}};
    if (!plan.shared) {
      parts.push_back({"k_proj", s.hidden, kv});
      parts.push_back({"v_proj", s.hidden, kv});
    }
    RAPID_TRY(out.in, load_projection(at, parts));
    RAPID_TRY(auto back, load_projection(at, {{"o_proj", q, s.hidden}}));
    RAPID_TRY(
        back->after,
        load_rms_norm(layer, "post_attention_layernorm", hidden_norm()));
    out.out = std::move(back);
    AttentionOptions mix{
        .heads = s.heads,
        .scale = 1.0f,
        .window = plan.window,
        .rope = plan.rope,
        .source = plan.shared ? KvSource::shared : KvSource::own};
    const RmsNormOptions norm{s.head_dim, s.norm_eps};
    RAPID_TRY(mix.q_norm, load_rms_norm(at, "q_norm", norm));
    if (!plan.shared) {
      RAPID_TRY(mix.k_norm, load_rms_norm(at, "k_norm", norm));
      mix.v_norm = plain_rms_norm(s.head_dim, s.norm_eps);
    }
    out.mix = std::make_shared<const Attention>(std::move(mix));
    return {};
  }

  Status mlp(
      const WeightCursor& layer, const Gemma3nLayer& plan, Layer& out) const {
    const WeightCursor at = layer.scope("mlp");
    const int hidden = config_.shape.hidden;
    BlockNorms around;
    RAPID_TRY(
        around.before,
        load_rms_norm(layer, "pre_feedforward_layernorm", hidden_norm()));
    RAPID_TRY(
        around.after,
        load_rms_norm(layer, "post_feedforward_layernorm", hidden_norm()));
    if (plan.sparsity == 0) {
      RAPID_TRY(
          out.mlp,
          Mlp::load(
              at,
              {hidden, plan.inner, Activation::gelu_tanh},
              std::move(around)));
      return {};
    }
    SparseMlp sparse{
        .inner = plan.inner, .deviations = normal_quantile(plan.sparsity)};
    RAPID_TRY(
        auto in,
        load_projection(
            at,
            {{"gate_proj", hidden, plan.inner},
             {"up_proj", hidden, plan.inner}}));
    RAPID_TRY(
        auto down, load_projection(at, {{"down_proj", plan.inner, hidden}}));
    in->before = std::move(around.before);
    down->after = std::move(around.after);
    sparse.in = std::move(in);
    sparse.down = std::move(down);
    out.mlp = [sparse](const mx::array& x, const RaggedBatch&) {
      return sparse(x);
    };
    return {};
  }

  const Gemma3nConfig& config_;
  WeightCursor model_;
};

Result<std::unique_ptr<Model>> load_gemma3n(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) {
  RAPID_TRY(
      const Gemma3nConfig config, read_gemma3n_config(*files, options.context));
  const DecoderConfig& shape = config.shape;
  RAPID_TRY(auto map, WeightMap::open(files, options.exact));
  const TextPart text = text_part(*files, *map);
  for (int i = 0; i < shape.layers; ++i) {
    if (config.layers[static_cast<size_t>(i)].shared) {
      ignore_keys(
          layer_scope(text.model, i), {".weight", ".scales", ".biases"}, *map);
    }
  }
  RAPID_TRY(
      DecoderSpine spine,
      DecoderSpine::load(*files, shape, text.root, text.model));
  spine.embedding_scale = std::sqrt(static_cast<float>(shape.hidden));
  spine.logit_softcap = config.logit_softcap;
  const Loader loader(config, text.model);
  RAPID_TRY(TokenParts tokens, TokenParts::load(text.model, config.token));
  RAPID_TRY(auto widen, loader.streams("altup_projections"));
  RAPID_TRY(auto narrow, loader.streams("altup_unembed_projections"));
  std::vector<Layer> layers;
  int inner = 0;
  for (int i = 0; i < shape.layers; ++i) {
    const Gemma3nLayer& plan = config.layers[static_cast<size_t>(i)];
    RAPID_TRY(Layer next, loader.layer(i));
    layers.push_back(std::move(next));
    inner = std::max(inner, plan.inner);
    if (!plan.shared) {
      spine.states.push_back(
          {.heads = shape.kv_heads,
           .dim = shape.head_dim,
           .window = plan.window,
           .border = plan.rope.border});
    }
  }
  RAPID_CHECK(finish_weights(*map, *files, shape));
  // Streams as they were, predicted and corrected; parts of the token; gates.
  spine.info.row_floats += 4 * config.altup.streams * shape.hidden +
                           2 * config.token.part * shape.layers + 4 * inner;
  return std::unique_ptr<Model>(std::make_unique<Gemma3n>(
      std::move(spine),
      std::move(layers),
      std::move(tokens),
      std::move(widen),
      std::move(narrow)));
}

}  // namespace

void register_model_gemma3n(ModelRegistry& registry) {
  registry.add({"gemma3n", "gemma3n_text"}, load_gemma3n);
}

}  // namespace rapid
