// A short convolution's mixer (kernels/gated_conv.h) from the norm before it to
// the residual after it.
//
// Parameters below the cursor: in_proj, conv ([D, 1, K] or [D, K, 1]),
// out_proj, with biases where there are some. The state of `layer` in every
// sequence of the batch must be a Recurrent with rule().
#pragma once

#include "kernels/gated_conv.h"
#include "nn/attention.h"
#include "state/recurrent.h"

namespace rapid {

struct ShortConvOptions {
  int hidden = 0;
  int kernel = 0;
  Bias bias = Bias::none;
};

class ShortConvMixer {
 public:
  static Result<ShortConvMixer> load(
      const WeightCursor& cursor,
      const ShortConvOptions& options,
      RmsNorm before);

  // x [T, hidden] -> [T, hidden], residual included.
  mx::array operator()(
      const mx::array& x, const RaggedBatch& batch, int layer) const;

  // The same arithmetic, for the states.
  std::shared_ptr<const RecurrentRule> rule() const { return rule_; }

 private:
  ShortConvMixer(ProjectionPtr in, GatedConvPtr mix, ProjectionPtr out);

  ProjectionPtr in_;
  GatedConvPtr mix_;
  ProjectionPtr out_;
  std::shared_ptr<const RecurrentRule> rule_;
};

}  // namespace rapid
