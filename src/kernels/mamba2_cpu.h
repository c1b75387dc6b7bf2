// The fused CPU kernel of mamba2.h. Threads: the engine thread builds.
#pragma once

#include "kernels/mamba2.h"

namespace rapid {

Folded mamba2_cpu(
    const mx::array& x,
    const Mamba2Ptr& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
