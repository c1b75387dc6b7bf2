// Rows of a stored table, times a factor.
#pragma once

#include "kernels/backend.h"
#include "tensor/weight.h"

namespace rapid {

// ids [T] int32 -> table[ids] * scale, float32 [T, K]. An id outside the table
// gives NaN.
mx::array embedding(
    const mx::array& ids, const WeightPtr& table, float scale = 1.0f);
mx::array embedding_reference(
    const mx::array& ids, const WeightPtr& table, float scale = 1.0f);

}  // namespace rapid
