#include "nn/mamba2_mixer.h"

#include <fmt/format.h>

#include "nn/conv_weight.h"
#include "nn/fold_batch.h"

namespace rapid {

namespace {

class Rule final : public RecurrentRule {
 public:
  explicit Rule(Mamba2Ptr layer) : layer_(std::move(layer)) {
    const Mamba2Shape& s = layer_->shape;
    start_ = {
        mx::zeros({s.kernel - 1, s.channels()}),
        mx::zeros({s.heads, s.state_dim, s.head_dim})};
    mx::eval(start_);
  }
  std::string name() const override {
    const Mamba2Shape& s = layer_->shape;
    return fmt::format(
        "mamba2 {}x{}x{} {} {}",
        s.heads,
        s.head_dim,
        s.state_dim,
        s.groups,
        s.kernel);
  }
  Arrays start() const override { return start_; }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    const FoldRows all{arrays, 0, rows[0].shape(0)};
    return mamba2(rows[0], layer_, {&all, 1}).next[0];
  }

 private:
  Mamba2Ptr layer_;
  Arrays start_;  // shared by all sequences
};

// A vector, whatever shape its values lie in.
Result<mx::array> load_flat(
    const WeightCursor& cursor, const std::string& name, int size) {
  int64_t count = 1;
  const std::vector<int64_t> shape = cursor.shape(name);
  for (const int64_t d : shape) {
    count *= d;
  }
  if (count != size || shape.empty()) {
    return cursor.vector(name, size);
  }
  RAPID_TRY(const mx::array values, cursor.floats(name, shape));
  return mx::reshape(values, {size});
}

Result<mx::array> load_decay(const WeightCursor& cursor, int heads) {
  if (cursor.has("A")) {
    return load_flat(cursor, "A", heads);
  }
  RAPID_TRY(const mx::array log, cursor.vector("A_log", heads));
  return mx::negative(mx::exp(log));
}

Result<Mamba2> load_core(const WeightCursor& cursor, const Mamba2Options& o) {
  const Mamba2Shape& s = o.shape;
  RAPID_TRY(
      mx::array conv,
      load_conv_weight(cursor, "conv1d", s.channels(), s.kernel));
  std::optional<mx::array> bias;
  if (cursor.has("conv1d.bias")) {
    RAPID_TRY(bias, cursor.vector("conv1d.bias", s.channels()));
    bias->eval();
  }
  RAPID_TRY(mx::array decay, load_decay(cursor, s.heads));
  RAPID_TRY(mx::array dt_bias, cursor.vector("dt_bias", s.heads));
  RAPID_TRY(mx::array skip, load_flat(cursor, "D", s.heads));
  RAPID_TRY(mx::array norm, load_flat(cursor, "norm.weight", s.inner()));
  mx::eval(decay, dt_bias, skip, norm);
  return Mamba2{
      s,
      std::move(conv),
      std::move(bias),
      std::move(decay),
      std::move(dt_bias),
      std::move(skip),
      RmsNorm{std::move(norm), o.norm_eps},
      o.dt_min,
      o.dt_max};
}

}  // namespace

Mamba2Mixer::Mamba2Mixer(ProjectionPtr in, Mamba2Ptr mix, ProjectionPtr out)
    : in_(std::move(in)),
      mix_(std::move(mix)),
      out_(std::move(out)),
      rule_(std::make_shared<Rule>(mix_)) {}

Result<Mamba2Mixer> Mamba2Mixer::load(
    const WeightCursor& cursor, const Mamba2Options& o, RmsNorm before) {
  const Mamba2Shape& s = o.shape;
  auto in = std::make_shared<Projection>();
  in->before = std::move(before);
  RAPID_TRY(
      Linear into,
      load_linear(cursor, {"in_proj", o.hidden, s.width(), o.bias}));
  in->parts.push_back(std::move(into));
  RAPID_TRY(Mamba2 core, load_core(cursor, o));
  auto out = std::make_shared<Projection>();
  RAPID_TRY(
      Linear back,
      load_linear(cursor, {"out_proj", s.inner(), o.hidden, o.bias}));
  out->parts.push_back(std::move(back));
  return Mamba2Mixer(
      std::move(in),
      std::make_shared<const Mamba2>(std::move(core)),
      std::move(out));
}

mx::array Mamba2Mixer::operator()(
    const mx::array& x, const RaggedBatch& batch, int layer) const {
  const mx::array rows = project(x, in_);
  Folded folded = mamba2(rows, mix_, fold_rows(batch, layer));
  keep_folded(batch, layer, rows, std::move(folded.next));
  return project(folded.out, out_, x);
}

}  // namespace rapid
