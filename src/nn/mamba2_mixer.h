// A Mamba2 mixer (kernels/mamba2.h) from the norm before it to the residual
// after it.
//
// Parameters below the cursor: in_proj, conv1d ([C, 1, K] or [C, K, 1]; bias
// where there is one), A_log (or A, which is -exp of it), dt_bias, D, norm,
// out_proj. The state of `layer`
// in every sequence of the batch must be a Recurrent with rule().
#pragma once

#include "kernels/mamba2.h"
#include "nn/attention.h"
#include "state/recurrent.h"

namespace rapid {

struct Mamba2Options {
  int hidden = 0;
  Mamba2Shape shape;
  Bias bias = Bias::none;  // of the projections
  float norm_eps = 1e-5f;
  float dt_min = 0;
  float dt_max = std::numeric_limits<float>::infinity();
};

class Mamba2Mixer {
 public:
  static Result<Mamba2Mixer> load(
      const WeightCursor& cursor, const Mamba2Options& options, RmsNorm before);

  // x [T, hidden] -> [T, hidden], residual included.
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

  // The same arithmetic, for the states.
  std::shared_ptr<const RecurrentRule> rule() const { return rule_; }

 private:
  Mamba2Mixer(ProjectionPtr in, Mamba2Ptr mix, ProjectionPtr out);

  ProjectionPtr in_;
  Mamba2Ptr mix_;
  ProjectionPtr out_;
  std::shared_ptr<const RecurrentRule> rule_;
};

}  // namespace rapid
