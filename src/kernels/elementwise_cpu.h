// The CPU kernels behind elementwise.h.
#pragma once

#include "kernels/elementwise.h"

namespace rapid {

mx::array rms_norm_cpu(const mx::array& x, const mx::array& weight, float eps);
mx::array gated_cpu(
    const mx::array& gate, const mx::array& up, Activation activation);
mx::array rope_cpu(
    const mx::array& x, const mx::array& positions, const RopeOptions& o);

}  // namespace rapid
