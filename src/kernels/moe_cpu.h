// The CPU kernel behind moe.h: same contract, row-invariant.
#pragma once

#include "kernels/moe.h"

namespace rapid {

mx::array mixture_of_experts_cpu(
    const mx::array& x,
    const MixtureOfExpertsPtr& moe,
    const std::optional<mx::array>& residual,
    const std::optional<mx::array>& scores);

}  // namespace rapid
