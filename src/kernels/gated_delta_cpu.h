// The fused CPU kernel of gated_delta.h. Threads: the engine thread builds.
#pragma once

#include "kernels/gated_delta.h"

namespace rapid {

Folded gated_delta_cpu(
    const mx::array& x,
    const GatedDeltaPtr& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
