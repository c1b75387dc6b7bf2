#include "nn/mlp.h"

namespace rapid {

Result<Mlp> Mlp::load(
    const WeightCursor& cursor, const MlpOptions& o, BlockNorms norms) {
  auto out = std::make_shared<GatedMlp>();
  RAPID_TRY(
      out->gate, load_linear(cursor, {"gate_proj", o.hidden, o.inner, o.bias}));
  RAPID_TRY(
      out->up, load_linear(cursor, {"up_proj", o.hidden, o.inner, o.bias}));
  RAPID_TRY(
      out->down, load_linear(cursor, {"down_proj", o.inner, o.hidden, o.bias}));
  out->activation = o.activation;
  out->before = std::move(norms.before);
  out->after = std::move(norms.after);
  return Mlp(std::move(out));
}

}  // namespace rapid
