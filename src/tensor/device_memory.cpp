#include "tensor/device_memory.h"

#include <mlx/backend/cuda/cuda.h>

#include <utility>

#include "base/shared_library.h"

namespace rapid {

namespace {

struct Driver {
  int (*start)(unsigned) = nullptr;
  int (*retain)(void**, int) = nullptr;
  int (*enter)(void*) = nullptr;
  int (*take)(void**, size_t) = nullptr;
  int (*give)(void*) = nullptr;
  int (*send)(void*, const void*, size_t) = nullptr;
  bool all = false;
};

Driver find_driver() {
  Driver out;
  out.all = mx::cu::is_available() && driver_call("cuInit", out.start) &&
            driver_call("cuDevicePrimaryCtxRetain", out.retain) &&
            driver_call("cuCtxSetCurrent", out.enter) &&
            driver_call("cuMemAlloc_v2", out.take) &&
            driver_call("cuMemFree_v2", out.give) &&
            driver_call("cuMemcpyHtoD_v2", out.send) && out.start(0) == 0;
  return out;
}

const Driver& driver() {
  static const Driver found = find_driver();
  return found;
}

// MLX works in the device's primary context, too.
bool enter(int device) {
  void* context = nullptr;
  return driver().retain(&context, device) == 0 && driver().enter(context) == 0;
}

}  // namespace

void* device_address(const mx::array& a) {
  const auto* buffer = static_cast<const DeviceBuffer*>(a.buffer().ptr());
  return static_cast<char*>(buffer->data) + a.offset();
}

void* driver_call(const char* name) {
  static const SharedLibrary library({"libcuda.so.1"});
  void* out = nullptr;
  library.find(name, out);
  return out;
}

mx::array in_device_memory(const mx::array& a) {
  const mx::Device device = mx::default_device();
  if (device.type != mx::Device::gpu || !driver().all || a.size() == 0 ||
      !enter(device.index)) {
    return a;
  }
  void* data = nullptr;
  if (driver().take(&data, a.nbytes()) != 0) {
    return a;
  }
  if (driver().send(data, a.data<char>(), a.nbytes()) != 0) {
    driver().give(data);
    return a;
  }
  auto* buffer = new DeviceBuffer{data, a.nbytes(), device.index};
  mx::allocator::Data held(
      mx::allocator::Buffer(buffer), [buffer](mx::allocator::Buffer) {
        driver().give(buffer->data);
        delete buffer;
      });
  return mx::array(std::move(held), a.shape(), a.dtype());
}

}  // namespace rapid
