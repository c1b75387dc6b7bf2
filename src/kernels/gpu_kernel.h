// Kernels of our own on a GPU. Their texts (src/kernels/gpu/*.gpu) are written
// once, in macros that a prelude gives a meaning on CUDA or on Metal. On CUDA
// NVRTC compiles them (gpu_compile.h); on Metal MLX does. `// cuda` in the
// first line of a text: not on Metal.
//
// An op of this folder takes them where gpu_kernels_active(), for the cases
// that they know; its plain definition stays for the rest, and as the test.
// Like all graph building, on the engine thread only.
//
//   const GpuKernel& kernel = gpu_kernel("half_results", {});
//   mx::array y = kernel.run({x, factor}, {shape}, {mx::float32}, {n, flags},
//                            {.x = groups})[0];
#pragma once

#include <mlx/fast.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda_node.h"

namespace rapid {

// True when ops built now may run on our GPU kernels: on CUDA, and on Metal
// where RAPID_MLX_METAL_KERNELS is set (no Mac has run them yet).
bool gpu_kernels_active();
// False while a ScopedReference (backend.h) lives in this thread.
bool plain_not_forced();
bool cuda_kernels_active();  // for texts that are CUDA's alone

struct Groups {
  int x = 1;
  int y = 1;
  int z = 1;
};

using Defines = std::vector<std::pair<const char*, int>>;
using Scalar = std::variant<int, float>;
using Scalars = std::vector<Scalar>;

class GpuKernel {
 public:
  GpuKernel(std::string_view name, const Defines& defines);

  // Inputs, outputs and scalars in the order of the text. `bytes` of shared
  // memory beside what the text declares. `renew`: see CudaLaunch.
  std::vector<mx::array> run(
      const std::vector<mx::array>& inputs,
      const std::vector<mx::Shape>& shapes,
      const std::vector<mx::Dtype>& types,
      const Scalars& scalars,
      Groups groups,
      int bytes = 0,
      std::function<bool(CudaLaunch&)> renew = nullptr) const;

  const std::string& cuda_source() const { return source_; }

 private:
  std::string name_;    // of the function and, with its defines, the module
  std::string source_;  // for CUDA
  mx::fast::CustomKernelFunction metal_;
  int threads_ = 0;
  bool repeats_ = false;  // CudaLaunch
  mutable std::shared_ptr<CudaFunction> function_;
};

// The kernel of these defines, made on the first call.
const GpuKernel& gpu_kernel(std::string_view name, const Defines& defines);

// The texts there are, by name.
const std::map<std::string_view, std::string_view>& gpu_texts();

}  // namespace rapid
