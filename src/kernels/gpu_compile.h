// Machine code from a kernel text by NVRTC, which MLX's CUDA library brings.
// What was compiled once is kept in the cache folder (kernels/) and read from
// there later. Any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace rapid {

// The machine code of CUDA source for the compute capability, e.g. 90.
// Errors: unsupported where there is no NVRTC, or it refuses the text.
Result<std::string> compile_cuda(const std::string& source, int capability);

// The same without reading or keeping a file. For tests.
Result<std::string> compile_cuda_afresh(
    const std::string& source, int capability);

bool cuda_compiler_found();

}  // namespace rapid
