// The CPU kernels behind linear() and embedding().
#pragma once

#include "kernels/linear.h"

namespace rapid {

mx::array linear_cpu(
    const mx::array& x,
    const WeightPtr& weight,
    const std::optional<mx::array>& bias);

mx::array embedding_cpu(const mx::array& ids, const WeightPtr& table);

}  // namespace rapid
