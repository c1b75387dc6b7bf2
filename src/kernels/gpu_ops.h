// The steps of elementwise.h and attention.h by MLX's fused ops, which a GPU
// runs as one kernel each. They equal their definitions up to rounding, on any
// device. The plain-ops paths of this folder take them where there is a GPU.
#pragma once

#include <optional>

#include "kernels/elementwise.h"

namespace rapid {

bool on_gpu();  // ops built now run on a GPU

mx::array fast_rms_norm(const mx::array& x, const RmsNorm& norm);

// x [T, H, D], positions [T] int32.
mx::array fast_rope(
    const mx::array& x,
    const mx::array& positions,
    const RopeOptions& o,
    int form = 0);

// q [n, Hq, D], keys [H, D, L], values [H, L, D], seen [n, L] bool ->
// [n, Hq, D]: softmax(scale q k) v over what each row sees, and, if given,
// a sink [Hq] each (see AttentionOptions). No softcap.
mx::array fast_attention(
    const mx::array& q,
    const mx::array& keys,
    const mx::array& values,
    const mx::array& seen,
    float scale,
    const std::optional<mx::array>& sinks = std::nullopt);

// The fused op on a GPU, else the definition.
mx::array norm_rows(const mx::array& x, const RmsNorm& norm);
mx::array turn_heads(
    const mx::array& x,
    const mx::array& positions,
    const RopeOptions& o,
    int form = 0);

}  // namespace rapid
