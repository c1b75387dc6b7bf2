// The CPU kernel behind attention().
#pragma once

#include "kernels/attention.h"

namespace rapid {

mx::array attention_cpu(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    std::span<const AttentionRows> batch,
    const AttentionOptions& options);

}  // namespace rapid
