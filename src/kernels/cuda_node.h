// A launch of a kernel of our own as a node of MLX's graph on CUDA.
//
// MLX's public call for such kernels hashes and copies their code at every
// launch. So a node here hands a loaded function to MLX's command encoder
// itself: its three calls, and the driver's, are looked up by name at run time.
// Where one is missing (another MLX, no GPU) cuda_nodes_possible() is false.
// Nothing here needs CUDA's headers, and the CPU build is the same.
//
// Results lie in device memory of a pool of ours, which takes them back when
// MLX drops them: after the launches that use them.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace rapid {

bool cuda_nodes_possible();
int cuda_capability();   // of device 0: 90 is 9.0. 0: no GPU
int cuda_group_bytes();  // of shared memory, the most of a group
int cuda_multiprocessors();

// Machine code with one function in it. Loaded at the first launch, once for
// each device.
class CudaFunction {
 public:
  // `code` may still be on its way; what it throws, on() throws.
  CudaFunction(std::string name, std::shared_future<std::string> code);
  // `shared`: launches ask for memory of a group.
  void* on(int device, bool shared);

 private:
  std::string name_;
  std::shared_future<std::string> code_;
  std::vector<void*> functions_;  // by device
};

struct CudaLaunch {
  std::shared_ptr<CudaFunction> function;
  unsigned groups[3] = {1, 1, 1};
  unsigned threads = 0;
  unsigned bytes = 0;             // of shared memory
  std::vector<uint32_t> scalars;  // the bits of int and float arguments
  // Its text says AFTER_PREVIOUS: with the same arguments it does the same
  // again, so it may be part of a step that is kept (cuda_step.h).
  bool repeats = false;
  // There: sets what follows from the lengths of the sequences. True: something
  // changed. Null: nothing ever does.
  std::function<bool(CudaLaunch&)> renew;
};

// A launch as it was made.
struct CudaLaunched {
  CudaLaunch launch;
  int device = 0;
  std::vector<void*> pointers;  // inputs, results
  size_t inputs = 0;
};

// What the nodes launch that this thread builds and evaluates while it lives.
class CudaRecording {
 public:
  CudaRecording();
  ~CudaRecording();
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  std::vector<CudaLaunched> launches;
  // The memory that they read and write.
  std::vector<std::shared_ptr<mx::array::Data>> held;
  size_t nodes = 0;      // that were built
  bool foreign = false;  // one took what a node of another kind made, or
                         // does not repeat
};

// Arguments of the kernel: inputs, results, scalars. Inputs must lie in order
// (as mx::contiguous gives them) when they are evaluated.
std::vector<mx::array> cuda_node(
    CudaLaunch launch,
    const std::vector<mx::array>& inputs,
    const std::vector<mx::Shape>& shapes,
    const std::vector<mx::Dtype>& types);

}  // namespace rapid
