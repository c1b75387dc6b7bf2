// The fused CPU kernel of gated_conv.h. Threads: the engine thread builds.
#pragma once

#include "kernels/gated_conv.h"

namespace rapid {

Folded gated_conv_cpu(
    const mx::array& x,
    const GatedConvPtr& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
