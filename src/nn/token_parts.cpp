#include "nn/token_parts.h"

#include <cmath>

#include "kernels/rowwise.h"

namespace rapid {

namespace {

const auto kHalf = static_cast<float>(std::sqrt(0.5));

Result<std::shared_ptr<Projection>> load_projection(
    const WeightCursor& cursor, const LinearOptions& linear) {
  auto out = std::make_shared<Projection>();
  RAPID_TRY(Linear loaded, load_linear(cursor, linear));
  out->parts.push_back(std::move(loaded));
  return out;
}

}  // namespace

Result<TokenParts> TokenParts::load(
    const WeightCursor& model, const TokenPartOptions& o) {
  const int width = o.part * o.layers;
  RAPID_TRY(
      Embedding table,
      Embedding::load(model, "embed_tokens_per_layer", o.rows, width));
  // The product is divided by sqrt(hidden) before its norm: eps grows.
  const float eps = o.norm_eps * static_cast<float>(o.hidden);
  RAPID_TRY(
      RmsNorm norm,
      load_rms_norm(model, "per_layer_projection_norm", {o.part, eps}));
  norm.weight = mx::multiply(norm.weight, mx::array(kHalf));
  norm.weight.eval();
  TokenParts out(o, std::move(table), std::move(norm));
  RAPID_TRY(
      out.project_,
      load_projection(model, {"per_layer_model_projection", o.hidden, width}));
  return out;
}

mx::array TokenParts::operator()(
    const mx::array& ids, const mx::array& x) const {
  const mx::array rows =
      options_.rows < options_.vocabulary
          ? mx::where(
                mx::less(ids, mx::array(options_.rows)), ids, mx::array(0))
          : ids;
  const float scale = kHalf * std::sqrt(static_cast<float>(options_.part));
  return grouped_norm(project(x, project_), norm_, table_(rows, scale));
}

Result<TokenPart> TokenPart::load(
    const WeightCursor& layer, const TokenPartOptions& o, int index) {
  TokenPart out;
  out.column_ = index * o.part;
  RAPID_TRY(
      out.gate_,
      load_projection(layer, {"per_layer_input_gate", o.hidden, o.part}));
  RAPID_TRY(
      auto back,
      load_projection(layer, {"per_layer_projection", o.part, o.hidden}));
  RAPID_TRY(
      back->after,
      load_rms_norm(
          layer, "post_per_layer_input_norm", {o.hidden, o.norm_eps}));
  out.back_ = std::move(back);
  return out;
}

mx::array TokenPart::operator()(
    const mx::array& x,
    const mx::array& parts,
    const std::optional<mx::array>& residual) const {
  const mx::array part =
      gated_columns(project(x, gate_), parts, column_, Activation::gelu_tanh);
  return project(part, back_, residual);
}

}  // namespace rapid
