// The floats of an evaluated array where the host can read and change them.
#pragma once

#include "kernels/backend.h"

namespace rapid {

// a.data<float>(), but for an array on a CUDA device: that would move the array
// itself to managed memory, which takes longer than the copy. Valid until the
// next call in this thread; `a` must lie in order and stay.
float* host_floats(mx::array& a);

}  // namespace rapid
