#include "kernels/cuda_node.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <mlx/backend/cuda/cuda.h>
#include <mlx/primitives.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>

#include "kernels/host_floats.h"
#include "tensor/device_memory.h"

namespace rapid {

namespace {

struct Extent {  // CUDA's dim3
  unsigned x, y, z;
};

// MLX's encoder and the driver, by name.
struct Calls {
  void* (*encoder)(mx::Stream) = nullptr;
  void (*input)(void*, const mx::array&) = nullptr;
  void (*output)(void*, const mx::array&) = nullptr;
  void (*launch)(void*, void*, Extent, Extent, Extent, unsigned, void**) =
      nullptr;
  int (*attribute)(int*, int, int) = nullptr;
  int (*load)(void**, const void*) = nullptr;
  int (*find)(void**, void*, const char*) = nullptr;
  int (*configure)(void*, int, int) = nullptr;
  int (*take)(void**, size_t) = nullptr;
  int (*give)(void*) = nullptr;
  int (*pinned)(void**, size_t, unsigned) = nullptr;
  int (*unpin)(void*) = nullptr;
  int (*fetch)(void*, const void*, size_t) = nullptr;
  bool all = false;
};

Calls find_calls() {
  Calls out;
  if (!mx::cu::is_available()) {
    return out;
  }
  const std::string encoder = "_ZN3mlx4core2cu14CommandEncoder";
  const auto of_mlx = []<typename F>(const std::string& name, F& to) {
    to = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name.c_str()));
    return to != nullptr;
  };
  int (*start)(unsigned) = nullptr;
  out.all =
      driver_call("cuInit", start) && start(0) == 0 &&
      of_mlx(
          "_ZN3mlx4core2cu19get_command_encoderENS0_6StreamE", out.encoder) &&
      of_mlx(encoder + "15set_input_arrayERKNS0_5arrayE", out.input) &&
      of_mlx(encoder + "16set_output_arrayERKNS0_5arrayE", out.output) &&
      of_mlx(
          encoder + "19add_kernel_node_rawEP9CUfunc_st4dim3S5_S5_jPPv",
          out.launch) &&
      driver_call("cuDeviceGetAttribute", out.attribute) &&
      driver_call("cuModuleLoadData", out.load) &&
      driver_call("cuModuleGetFunction", out.find) &&
      driver_call("cuFuncSetAttribute", out.configure) &&
      driver_call("cuMemAlloc_v2", out.take) &&
      driver_call("cuMemFree_v2", out.give) &&
      driver_call("cuMemHostAlloc", out.pinned) &&
      driver_call("cuMemFreeHost", out.unpin) &&
      driver_call("cuMemcpyDtoH_v2", out.fetch);
  return out;
}

const Calls& calls() {
  static const Calls found = find_calls();
  return found;
}

int attribute(int which) {
  int out = 0;
  return calls().all && calls().attribute(&out, which, 0) == 0 ? out : 0;
}

// Device memory in sizes of a few kinds, so that most are met again.
class Pool {
 public:
  static Pool& of_process() {
    static auto* pool = new Pool;  // results may outlive statics
    return *pool;
  }

  DeviceBuffer* take(size_t bytes, int device) {
    const size_t size = rounded(bytes);
    {
      const std::lock_guard lock(mutex_);
      auto& kept = free_[{device, size}];
      if (!kept.empty()) {
        DeviceBuffer* out = kept.back();
        kept.pop_back();
        free_bytes_ -= size;
        return out;
      }
    }
    void* data = nullptr;
    if (calls().take(&data, size) != 0) {
      drop_all();
      if (calls().take(&data, size) != 0) {
        throw std::runtime_error(
            fmt::format("the GPU has no {} bytes left", size));
      }
    }
    return new DeviceBuffer{data, size, device};
  }

  void give(DeviceBuffer* buffer) {
    const std::lock_guard lock(mutex_);
    if (buffer->device < 0 || free_bytes_ + buffer->size > kMostFree) {
      calls().give(buffer->data);
      delete buffer;
      return;
    }
    free_bytes_ += buffer->size;
    free_[{buffer->device, buffer->size}].push_back(buffer);
  }

 private:
  static constexpr size_t kMostFree = size_t{8} << 30;

  // To an eighth of its power of two, at least 512.
  static size_t rounded(size_t bytes) {
    size_t step = 512;
    while (step * 16 <= bytes) {
      step *= 2;
    }
    return std::max<size_t>((bytes + step - 1) / step * step, 512);
  }

  void drop_all() {
    const std::lock_guard lock(mutex_);
    for (auto& [key, kept] : free_) {
      for (DeviceBuffer* buffer : kept) {
        calls().give(buffer->data);
        delete buffer;
      }
      kept.clear();
    }
    free_bytes_ = 0;
  }

  std::mutex mutex_;
  std::map<std::pair<int, size_t>, std::vector<DeviceBuffer*>> free_;
  size_t free_bytes_ = 0;
};

void allocate(mx::array& out, int device) {
  DeviceBuffer* buffer = Pool::of_process().take(out.nbytes(), device);
  out.set_data(mx::allocator::Data(
      mx::allocator::Buffer(buffer),
      [buffer](mx::allocator::Buffer) { Pool::of_process().give(buffer); }));
}

thread_local CudaRecording* recording = nullptr;

class CudaNode final : public mx::Primitive {
 public:
  explicit CudaNode(CudaLaunch launch)
      : Primitive(mx::default_stream(mx::default_device())),
        launch_(std::move(launch)) {}

  const char* name() const override { return "CudaNode"; }

  void eval_cpu(
      const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error("a CUDA kernel was asked to run on the CPU");
  }

  void eval_gpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    const Calls& c = calls();
    void* encoder = c.encoder(stream());
    void* function =
        launch_.function->on(stream().device.index, launch_.bytes > 0);
    std::vector<void*> pointers;
    pointers.reserve(inputs.size() + outputs.size());
    for (const mx::array& in : inputs) {
      if (!in.flags().row_contiguous) {
        throw std::runtime_error("a kernel got rows that are out of order");
      }
      c.input(encoder, in);
      pointers.push_back(device_address(in));
    }
    for (mx::array& out : outputs) {
      allocate(out, stream().device.index);
      c.output(encoder, out);
      pointers.push_back(device_address(out));
    }
    std::vector<void*> arguments;
    arguments.reserve(pointers.size() + launch_.scalars.size());
    for (void*& pointer : pointers) {
      arguments.push_back(&pointer);
    }
    for (uint32_t& scalar : launch_.scalars) {
      arguments.push_back(&scalar);
    }
    const auto& g = launch_.groups;
    c.launch(
        encoder,
        function,
        {g[0], g[1], g[2]},
        {launch_.threads, 1, 1},
        {1, 1, 1},
        launch_.bytes,
        arguments.data());
    if (recording) {
      record(inputs, outputs, std::move(pointers));
    }
  }

 private:
  void record(
      const std::vector<mx::array>& inputs,
      const std::vector<mx::array>& outputs,
      std::vector<void*> pointers) {
    for (const auto* arrays : {&inputs, &outputs}) {
      for (const mx::array& a : *arrays) {
        recording->held.push_back(a.data_shared_ptr());
      }
    }
    recording->launches.push_back(
        {launch_, stream().device.index, std::move(pointers), inputs.size()});
  }

  CudaLaunch launch_;
};

bool is_ours(const mx::array& a) {
  return a.has_primitive() &&
         a.primitive().name() == std::string_view("CudaNode");
}

// Rows in order, known now or made so by a node.
mx::array in_order(const mx::array& a) {
  if (a.status() != mx::array::Status::unscheduled) {
    return a.flags().row_contiguous ? a : mx::contiguous(a);
  }
  return is_ours(a) ? a : mx::contiguous(a);
}

}  // namespace

CudaRecording::CudaRecording() {
  recording = this;
}

CudaRecording::~CudaRecording() {
  recording = nullptr;
}

bool cuda_nodes_possible() {
  return calls().all;
}

int cuda_capability() {
  constexpr int kMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
  constexpr int kMinor = 76;
  static const int found = attribute(kMajor) * 10 + attribute(kMinor);
  return found;
}

int cuda_group_bytes() {
  constexpr int kMostOptin = 97;  // .._MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
  static const int found = attribute(kMostOptin);
  return found;
}

int cuda_multiprocessors() {
  constexpr int kCount = 16;  // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
  static const int found = attribute(kCount);
  return found;
}

CudaFunction::CudaFunction(
    std::string name, std::shared_future<std::string> code)
    : name_(std::move(name)), code_(std::move(code)) {}

void* CudaFunction::on(int device, bool shared) {
  const auto at = static_cast<size_t>(device);
  if (at < functions_.size() && functions_[at]) {
    return functions_[at];
  }
  functions_.resize(std::max(functions_.size(), at + 1), nullptr);
  const Calls& c = calls();
  void* module = nullptr;
  void* function = nullptr;
  int failed = c.load(&module, code_.get().data());
  failed = failed ? failed : c.find(&function, module, name_.c_str());
  if (failed) {
    throw std::runtime_error(
        fmt::format("the driver refused {}: error {}", name_, failed));
  }
  constexpr int kMostShared = 8;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_..
  constexpr int kOfTheText = 16 * 1024;
  if (shared) {
    c.configure(function, kMostShared, cuda_group_bytes() - kOfTheText);
  }
  return functions_[at] = function;
}

float* host_floats(mx::array& a) {
  struct Pinned {
    void* data = nullptr;
    size_t size = 0;
  };
  thread_local Pinned held;
  const bool cuda = calls().all && mx::default_device().type == mx::Device::gpu;
  if (!cuda || static_cast<DeviceBuffer*>(a.buffer().ptr())->device < 0) {
    return a.data<float>();
  }
  if (held.size < a.nbytes()) {
    if (held.data) {
      calls().unpin(held.data);
    }
    held = {nullptr, a.nbytes()};
    if (calls().pinned(&held.data, held.size, 0) != 0) {
      held = {};
      return a.data<float>();
    }
  }
  return calls().fetch(held.data, device_address(a), a.nbytes()) == 0
             ? static_cast<float*>(held.data)
             : a.data<float>();
}

std::vector<mx::array> cuda_node(
    CudaLaunch launch,
    const std::vector<mx::array>& inputs,
    const std::vector<mx::Shape>& shapes,
    const std::vector<mx::Dtype>& types) {
  std::vector<mx::array> ordered;
  ordered.reserve(inputs.size());
  for (const mx::array& in : inputs) {
    ordered.push_back(in_order(in));
  }
  if (recording) {
    ++recording->nodes;
    const bool known = std::ranges::all_of(ordered, [](const mx::array& in) {
      return in.status() != mx::array::Status::unscheduled || is_ours(in);
    });
    recording->foreign = recording->foreign || !known || !launch.repeats;
  }
  return mx::array::make_arrays(
      shapes, types, std::make_shared<CudaNode>(std::move(launch)), ordered);
}

}  // namespace rapid
