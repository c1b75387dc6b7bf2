// The CPU kernel behind projection.h: same contract, row-invariant.
#pragma once

#include "kernels/projection.h"

namespace rapid {

mx::array project_cpu(
    const mx::array& x,
    const ProjectionPtr& projection,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted);

}  // namespace rapid
