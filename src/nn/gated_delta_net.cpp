#include "nn/gated_delta_net.h"

#include <fmt/format.h>

#include "nn/conv_weight.h"
#include "nn/fold_batch.h"

namespace rapid {

namespace {

class Rule final : public RecurrentRule {
 public:
  explicit Rule(GatedDeltaPtr layer)
      : layer_(std::move(layer)), start_(zeros(layer_->shape)) {}

  std::string name() const override {
    const GatedDeltaShape& s = layer_->shape;
    return fmt::format(
        "gated delta {}x{} {}x{} {}",
        s.key_heads,
        s.key_dim,
        s.value_heads,
        s.value_dim,
        s.kernel);
  }
  Arrays start() const override { return start_; }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    const FoldRows all{arrays, 0, rows[0].shape(0)};
    return gated_delta(rows[0], layer_, {&all, 1}).next[0];
  }

 private:
  static Arrays zeros(const GatedDeltaShape& s) {
    Arrays out = {
        mx::zeros({s.kernel - 1, s.channels()}),
        mx::zeros({s.value_heads, s.key_dim, s.value_dim})};
    mx::eval(out);
    return out;
  }

  GatedDeltaPtr layer_;
  Arrays start_;  // shared by all sequences
};

Status load_inputs(
    const WeightCursor& cursor,
    const GatedDeltaNetOptions& o,
    Projection& in,
    GatedDeltaLayout& layout) {
  const GatedDeltaShape& s = o.shape;
  std::vector<LinearOptions> parts;
  if (cursor.has("in_proj_qkvz.weight")) {
    layout = GatedDeltaLayout::by_key_head(s);
    parts = {
        {"in_proj_qkvz", o.hidden, s.channels() + s.values()},
        {"in_proj_ba", o.hidden, 2 * s.value_heads}};
  } else {
    layout = GatedDeltaLayout::in_turn(s);
    parts = {
        {"in_proj_qkv", o.hidden, s.channels()},
        {"in_proj_z", o.hidden, s.values()}};
    if (cursor.has("in_proj_ba.weight")) {
      layout.b = GatedDeltaLayout::by_key_head(s).b;
      layout.a = GatedDeltaLayout::by_key_head(s).a;
      parts.push_back({"in_proj_ba", o.hidden, 2 * s.value_heads});
    } else {
      parts.push_back({"in_proj_b", o.hidden, s.value_heads});
      parts.push_back({"in_proj_a", o.hidden, s.value_heads});
    }
  }
  for (int i = 0; o.tiled && i < s.value_heads; ++i) {
    layout.key_head[static_cast<size_t>(i)] = i % s.key_heads;
  }
  for (const LinearOptions& part : parts) {
    RAPID_TRY(Linear linear, load_linear(cursor, part));
    in.parts.push_back(std::move(linear));
  }
  return {};
}

Result<mx::array> load_decay(const WeightCursor& cursor, int heads) {
  if (cursor.has("A")) {
    return cursor.vector("A", heads);
  }
  RAPID_TRY(const mx::array log, cursor.vector("A_log", heads));
  return mx::negative(mx::exp(log));
}

}  // namespace

GatedDeltaNet::GatedDeltaNet(
    ProjectionPtr in, GatedDeltaPtr mix, ProjectionPtr out)
    : in_(std::move(in)),
      mix_(std::move(mix)),
      out_(std::move(out)),
      rule_(std::make_shared<Rule>(mix_)) {}

Result<GatedDeltaNet> GatedDeltaNet::load(
    const WeightCursor& cursor, const GatedDeltaNetOptions& o, RmsNorm before) {
  const GatedDeltaShape& s = o.shape;
  auto in = std::make_shared<Projection>();
  in->before = std::move(before);
  GatedDeltaLayout layout;
  RAPID_CHECK(load_inputs(cursor, o, *in, layout));
  RAPID_TRY(
      mx::array conv,
      load_conv_weight(cursor, "conv1d", s.channels(), s.kernel));
  RAPID_TRY(mx::array decay, load_decay(cursor, s.value_heads));
  RAPID_TRY(mx::array dt_bias, cursor.vector("dt_bias", s.value_heads));
  RAPID_TRY(
      RmsNorm norm, load_rms_norm(cursor, "norm", {s.value_dim, o.norm_eps}));
  auto out = std::make_shared<Projection>();
  RAPID_TRY(
      Linear back, load_linear(cursor, {"out_proj", s.values(), o.hidden}));
  out->parts.push_back(std::move(back));
  mx::eval(conv, decay, dt_bias);
  return GatedDeltaNet(
      std::move(in),
      std::make_shared<const GatedDelta>(GatedDelta{
          s,
          std::move(layout),
          std::move(conv),
          std::move(decay),
          std::move(dt_bias),
          std::move(norm)}),
      std::move(out));
}

mx::array GatedDeltaNet::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const mx::array rows = project(x, in_);
  Folded folded = gated_delta(rows, mix_, fold_rows(batch, layer));
  keep_folded(batch, layer, rows, std::move(folded.next));
  return project(folded.out, out_, x);
}

}  // namespace rapid
