// The CPU kernels behind latent.h: same contracts, row-invariant.
#pragma once

#include "kernels/latent.h"

namespace rapid {

mx::array latent_qkv_cpu(
    const mx::array& q, const mx::array& a, const LatentHeadsPtr& heads);
mx::array latent_values_cpu(const mx::array& x, const LatentHeadsPtr& heads);

}  // namespace rapid
