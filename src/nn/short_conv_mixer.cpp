#include "nn/short_conv_mixer.h"

#include <fmt/format.h>

#include "nn/conv_weight.h"
#include "nn/fold_batch.h"

namespace rapid {

namespace {

class Rule final : public RecurrentRule {
 public:
  explicit Rule(GatedConvPtr layer)
      : layer_(std::move(layer)),
        start_({mx::zeros(
            {layer_->weight.shape(0) - 1, layer_->weight.shape(1)})}) {
    mx::eval(start_);
  }
  std::string name() const override {
    return fmt::format(
        "short conv {}x{}", layer_->weight.shape(0), layer_->weight.shape(1));
  }
  Arrays start() const override { return start_; }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    const FoldRows all{arrays, 0, rows[0].shape(0)};
    return gated_conv(rows[0], layer_, {&all, 1}).next[0];
  }

 private:
  GatedConvPtr layer_;
  Arrays start_;  // shared by all sequences
};

}  // namespace

ShortConvMixer::ShortConvMixer(
    ProjectionPtr in, GatedConvPtr mix, ProjectionPtr out)
    : in_(std::move(in)),
      mix_(std::move(mix)),
      out_(std::move(out)),
      rule_(std::make_shared<Rule>(mix_)) {}

Result<ShortConvMixer> ShortConvMixer::load(
    const WeightCursor& cursor, const ShortConvOptions& o, RmsNorm before) {
  auto in = std::make_shared<Projection>();
  in->before = std::move(before);
  RAPID_TRY(
      Linear into,
      load_linear(cursor, {"in_proj", o.hidden, 3 * o.hidden, o.bias}));
  in->parts.push_back(std::move(into));
  RAPID_TRY(
      mx::array weight, load_conv_weight(cursor, "conv", o.hidden, o.kernel));
  auto mix =
      std::make_shared<GatedConv>(GatedConv{std::move(weight), std::nullopt});
  if (o.bias == Bias::required) {
    RAPID_TRY(mix->bias, cursor.vector("conv.bias", o.hidden));
    mix->bias->eval();
  }
  auto out = std::make_shared<Projection>();
  RAPID_TRY(
      Linear back,
      load_linear(cursor, {"out_proj", o.hidden, o.hidden, o.bias}));
  out->parts.push_back(std::move(back));
  return ShortConvMixer(std::move(in), std::move(mix), std::move(out));
}

mx::array ShortConvMixer::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const mx::array rows = project(x, in_);
  Folded folded = gated_conv(rows, mix_, fold_rows(batch, layer));
  keep_folded(batch, layer, rows, std::move(folded.next));
  return project(folded.out, out_, x);
}

}  // namespace rapid
