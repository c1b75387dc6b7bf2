// A gated delta net layer's mixer (kernels/gated_delta.h) from the norm before
// it to the residual after it.
//
// Parameters below the cursor: in_proj_qkv and in_proj_z, or in_proj_qkvz with
// the parts of a key head together; in_proj_b and in_proj_a, or in_proj_ba with
// those of a key head together; conv1d
// ([C, 1, K] or [C, K, 1]), A_log (or A, which is -exp of it), dt_bias, norm,
// out_proj. The state of `layer` in every sequence of the batch must be a
// Recurrent with rule().
#pragma once

#include "kernels/gated_delta.h"
#include "nn/attention.h"
#include "state/recurrent.h"

namespace rapid {

struct GatedDeltaNetOptions {
  int hidden = 0;
  GatedDeltaShape shape;
  float norm_eps = 1e-6f;
  // Value head i meets key head i % key_heads, instead of neighbours sharing
  // one.
  bool tiled = false;
};

class GatedDeltaNet {
 public:
  static Result<GatedDeltaNet> load(
      const WeightCursor& cursor,
      const GatedDeltaNetOptions& options,
      RmsNorm before);

  // x [T, hidden] -> [T, hidden], residual included.
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

  // The same arithmetic, for the states: a rewound tape gives the same bits.
  std::shared_ptr<const RecurrentRule> rule() const { return rule_; }

 private:
  GatedDeltaNet(ProjectionPtr in, GatedDeltaPtr mix, ProjectionPtr out);

  ProjectionPtr in_;
  GatedDeltaPtr mix_;
  ProjectionPtr out_;
  std::shared_ptr<const RecurrentRule> rule_;
};

}  // namespace rapid
