// The CPU kernel behind gated_mlp.h: same contract, row-invariant.
#pragma once

#include "kernels/gated_mlp.h"

namespace rapid {

mx::array gated_mlp_cpu(
    const mx::array& x,
    const GatedMlpPtr& mlp,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted);

}  // namespace rapid
