// The CPU kernel behind embedding.h: same contract, row-invariant.
#pragma once

#include "kernels/embedding.h"

namespace rapid {

mx::array embedding_cpu(
    const mx::array& ids, const WeightPtr& table, float scale);

}  // namespace rapid
