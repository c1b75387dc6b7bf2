// Memory of a CUDA device, by the driver's own calls.
//
// What MLX makes of host values on CUDA is managed memory, which a GPU reads at
// a part of its speed until it has moved there, page by page. Weights are
// copied into plain device memory once instead.
//
// The driver (libcuda) is looked up at run time: no header or library of CUDA
// is needed to build, and without a GPU nothing here does anything.
#pragma once

#include <mlx/mlx.h>

#include <cstddef>

namespace rapid {

namespace mx = mlx::core;

// What MLX's buffers on CUDA point at (mlx/backend/cuda/allocator.h).
struct DeviceBuffer {
  void* data;
  size_t size;
  int device;  // -1: managed memory
};

// Where an evaluated array lies on a CUDA device. MLX moves one that the host
// reads.
void* device_address(const mx::array& a);

// The driver's function of this name, or null.
void* driver_call(const char* name);
// The same as a typed pointer; false where there is none.
template <typename F>
bool driver_call(const char* name, F& to) {
  to = reinterpret_cast<F>(driver_call(name));
  return to != nullptr;
}

// The array's values in memory of the default device where that is a CUDA GPU,
// else the array itself. Rows must lie in order.
mx::array in_device_memory(const mx::array& a);

}  // namespace rapid
