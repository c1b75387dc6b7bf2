#include "nn/mlp.h"

namespace rapid {

Result<Mlp> Mlp::load(
    const WeightCursor& cursor, const MlpOptions& o, BlockNorms norms) {
  auto out = std::make_shared<GatedMlp>();
  if (o.fused.empty()) {
    RAPID_TRY(
        out->gate,
        load_linear(cursor, {"gate_proj", o.hidden, o.inner, o.bias}));
    RAPID_TRY(
        out->up, load_linear(cursor, {"up_proj", o.hidden, o.inner, o.bias}));
  } else {
    RAPID_TRY(
        auto both, load_split(cursor, o.fused, o.hidden, {o.inner, o.inner}));
    out->gate = std::move(both[0]);
    out->up = std::move(both[1]);
  }
  RAPID_TRY(
      out->down, load_linear(cursor, {"down_proj", o.inner, o.hidden, o.bias}));
  for (const Linear* linear : {&out->gate, &out->up, &out->down}) {
    cursor.adaptable(linear->weight);
  }
  out->activation = o.activation;
  out->before = std::move(norms.before);
  out->after = std::move(norms.after);
  return Mlp(std::move(out));
}

}  // namespace rapid
