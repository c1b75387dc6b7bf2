// Launches that follow one another as a CUDA graph of our own, on a stream of
// our own. With the driver's calls looked up at run time, as in cuda_node.h.
//
// A launch starts while the one before it ends where card and driver know that
// (compute capability 9.0, CUDA 12.3) and its text says AFTER_PREVIOUS.
//
// Nothing orders the stream with MLX's but the host, which waits for one before
// it gives work to the other: mx::eval() before run(), wait() behind it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda_node.h"

namespace rapid {

bool cuda_graphs_possible();

// Memory of the device, or of the host where the device's copies reach it at
// full speed.
class CudaMemory {
 public:
  enum class Place { device, host };
  CudaMemory(Place place, size_t bytes);  // throws where there is none left
  ~CudaMemory();
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Place place_;
  size_t bytes_;
  char* data_ = nullptr;
};

// Copies on the stream of the graphs; the host's side is `CudaMemory`.
void send_to_device(void* to, const void* from, size_t bytes);
void fetch_from_device(void* to, const void* from, size_t bytes);
// For all that the stream was given. Throws what went wrong there.
void wait_for_graphs();

class CudaGraph {
 public:
  explicit CudaGraph(std::vector<CudaLaunched> launches);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  // Renews the launches (CudaLaunch::renew) and starts them all.
  void run();

 private:
  struct Arguments;  // of a launch, as the driver takes them

  bool build(bool early);
  void drop();

  std::vector<CudaLaunched> launches_;
  std::vector<void*> nodes_;
  void* graph_ = nullptr;
  void* made_ = nullptr;  // that can run
};

}  // namespace rapid
