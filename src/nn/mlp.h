// Loads a gated feed-forward part, from the norm before it to the residual
// after it: parameters gate_proj, up_proj (or both as one, `fused`) and
// down_proj below the cursor.
#pragma once

#include "kernels/gated_mlp.h"
#include "nn/attention.h"

namespace rapid {

struct MlpOptions {
  int hidden = 0;
  int inner = 0;
  Activation activation = Activation::silu;
  Bias bias = Bias::none;
  std::string_view fused = {};  // the name of gate and up as one matrix
};

class Mlp {
 public:
  static Result<Mlp> load(
      const WeightCursor& cursor, const MlpOptions& options, BlockNorms norms);

  // x [T, hidden] -> [T, hidden], residual included.
  mx::array operator()(const mx::array& x, const RaggedBatch& batch) const {
    return gated_mlp(x, mlp_, x, batch.adapted);
  }
  // Without the residual.
  mx::array alone(const mx::array& x, const RaggedBatch& batch) const {
    return gated_mlp(x, mlp_, std::nullopt, batch.adapted);
  }

 private:
  explicit Mlp(GatedMlpPtr mlp) : mlp_(std::move(mlp)) {}
  GatedMlpPtr mlp_;
};

}  // namespace rapid
