// attention() by our GPU kernels, for float16 pages and the usual layers: heads
// of 64, 128 or 256 dims, no more than 8 of q to one of k and v, norms over
// each head. New keys and values are written into the pages in place, so those
// must be this sequence's own, as PageList::prepare_append() sees to.
#pragma once

#include <optional>

#include "kernels/attention.h"

namespace rapid {

// Nothing where the case is not known; no page was touched then.
std::optional<mx::array> attention_gpu(
    const mx::array& qkv,
    const Attention& layer,
    std::span<const AttentionRows> batch);

}  // namespace rapid
