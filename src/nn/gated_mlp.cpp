#include "nn/gated_mlp.h"

namespace rapid {

Result<GatedMlp> GatedMlp::load(
    const WeightCursor& cursor, const GatedMlpOptions& o) {
  RAPID_TRY(
      Linear gate,
      Linear::load(cursor, {"gate_proj", o.hidden, o.inner, o.bias}));
  RAPID_TRY(
      Linear up, Linear::load(cursor, {"up_proj", o.hidden, o.inner, o.bias}));
  RAPID_TRY(
      Linear down,
      Linear::load(cursor, {"down_proj", o.inner, o.hidden, o.bias}));
  return GatedMlp(
      std::move(gate), std::move(up), std::move(down), o.activation);
}

}  // namespace rapid
