// y = x W^T + b with W as its file stores it.
//
// x [..., K] float32 -> y [..., N] float32. The reduction over K has one fixed
// order per (weight type, instruction set), the same for one row and for many.
// Activations are float32 and weights are expanded exactly, so `exact` mode
// and the default agree for now.
#pragma once

#include <optional>

#include "kernels/backend.h"
#include "tensor/weight.h"

namespace rapid {

mx::array linear(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias = std::nullopt);

mx::array linear_reference(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias = std::nullopt);

// Rows `ids` [T] int32 of the table as float32 [T, K].
mx::array embedding(const mx::array& ids, const WeightPtr& table);
mx::array embedding_reference(const mx::array& ids, const WeightPtr& table);

}  // namespace rapid
