// The CPU kernel of compressed.h.
#pragma once

#include "kernels/compressed.h"

namespace rapid {

mx::array compressed_attention_cpu(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttentionPtr& layer,
    std::span<const CompressedRows> batch);

}  // namespace rapid
