// gated_delta() by our GPU kernels: a token in one launch, many in three, the
// states in registers from the first to the last. Heads of q and k in steps of
// 32 dims up to 256, those of v of 32, 64, 128 or 256.
#pragma once

#include <optional>

#include "kernels/gated_delta.h"

namespace rapid {

// Nothing where the case is not known.
std::optional<Folded> gated_delta_gpu(
    const mx::array& x,
    const GatedDeltaPtr& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
