// The GPU kernel behind embedding.h, for MLX-affine tables of 4 or 8 bits.
#pragma once

#include <optional>

#include "kernels/backend.h"
#include "tensor/weight.h"

namespace rapid {

// Nothing where the case is not known.
std::optional<mx::array> embedding_gpu(
    const mx::array& ids, const WeightPtr& table, float scale);

}  // namespace rapid
