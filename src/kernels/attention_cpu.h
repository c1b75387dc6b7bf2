// The CPU kernel behind attention.h: same contract, row-invariant.
#pragma once

#include "kernels/attention.h"

namespace rapid {

mx::array attention_cpu(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch);

}  // namespace rapid
