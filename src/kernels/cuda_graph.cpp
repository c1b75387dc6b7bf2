#include "kernels/cuda_graph.h"

#include <fmt/format.h>

#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "base/log.h"
#include "tensor/device_memory.h"

namespace rapid {

namespace {

struct KernelNode {  // CUDA_KERNEL_NODE_PARAMS_v2
  void* function;
  unsigned groups[3];
  unsigned threads[3];
  unsigned bytes;
  void** arguments;
  void** extra;
  void* kernel;
  void* context;
};

struct Edge {  // CUgraphEdgeData
  unsigned char from_port;
  unsigned char to_port;
  unsigned char type;
  unsigned char reserved[5];
};
// The next one may start as soon as all groups of this one allow it.
constexpr Edge kEarly = {1, 0, 1, {}};

struct Driver {
  int (*create)(void**, unsigned) = nullptr;
  int (*add)(void**, void*, void* const*, size_t, const KernelNode*) = nullptr;
  int (*link)(void*, void* const*, void* const*, const Edge*, size_t) = nullptr;
  int (*make)(void**, void*, unsigned long long) = nullptr;
  int (*set)(void*, void*, const KernelNode*) = nullptr;
  int (*launch)(void*, void*) = nullptr;
  int (*drop_made)(void*) = nullptr;
  int (*drop)(void*) = nullptr;
  int (*stream)(void**, unsigned) = nullptr;
  int (*wait)(void*) = nullptr;
  int (*send)(void*, const void*, size_t, void*) = nullptr;
  int (*fetch)(void*, const void*, size_t, void*) = nullptr;
  int (*take)(void**, size_t) = nullptr;
  int (*give)(void*) = nullptr;
  int (*pin)(void**, size_t, unsigned) = nullptr;
  int (*unpin)(void*) = nullptr;
  bool all = false;
};

Driver find_driver() {
  Driver out;
  driver_call("cuGraphAddDependencies_v2", out.link);
  out.all = driver_call("cuGraphCreate", out.create) &&
            driver_call("cuGraphAddKernelNode_v2", out.add) &&
            driver_call("cuGraphInstantiateWithFlags", out.make) &&
            driver_call("cuGraphExecKernelNodeSetParams_v2", out.set) &&
            driver_call("cuGraphLaunch", out.launch) &&
            driver_call("cuGraphExecDestroy", out.drop_made) &&
            driver_call("cuGraphDestroy", out.drop) &&
            driver_call("cuStreamCreate", out.stream) &&
            driver_call("cuStreamSynchronize", out.wait) &&
            driver_call("cuMemcpyHtoDAsync_v2", out.send) &&
            driver_call("cuMemcpyDtoHAsync_v2", out.fetch) &&
            driver_call("cuMemAlloc_v2", out.take) &&
            driver_call("cuMemFree_v2", out.give) &&
            driver_call("cuMemHostAlloc", out.pin) &&
            driver_call("cuMemFreeHost", out.unpin);
  return out;
}

const Driver& driver() {
  static const Driver found = find_driver();
  return found;
}

void check(int code, const char* what) {
  if (code != 0) {
    throw std::runtime_error(
        fmt::format("the GPU's driver failed to {}: error {}", what, code));
  }
}

void* stream() {
  thread_local void* mine = [] {
    constexpr unsigned kApart = 1;  // CU_STREAM_NON_BLOCKING
    void* made = nullptr;
    check(driver().stream(&made, kApart), "make a stream");
    return made;
  }();
  return mine;
}

// RAPID_MLX_GPU_STEPS=ordered: to compare.
bool early_starts() {
  const char* wish = std::getenv("RAPID_MLX_GPU_STEPS");
  return driver().link != nullptr && cuda_capability() >= 90 &&
         !(wish && std::string_view(wish) == "ordered");
}

}  // namespace

bool cuda_graphs_possible() {
  return cuda_nodes_possible() && driver().all;
}

CudaMemory::CudaMemory(Place place, size_t bytes)
    : place_(place), bytes_(bytes) {
  void* found = nullptr;
  check(
      place == Place::device ? driver().take(&found, bytes)
                             : driver().pin(&found, bytes, 0),
      "give memory");
  data_ = static_cast<char*>(found);
}

CudaMemory::~CudaMemory() {
  place_ == Place::device ? driver().give(data_) : driver().unpin(data_);
}

void send_to_device(void* to, const void* from, size_t bytes) {
  check(driver().send(to, from, bytes, stream()), "copy to the device");
}

void fetch_from_device(void* to, const void* from, size_t bytes) {
  check(driver().fetch(to, from, bytes, stream()), "copy from the device");
}

void wait_for_graphs() {
  check(driver().wait(stream()), "run a step");
}

struct CudaGraph::Arguments {
  explicit Arguments(CudaLaunched& of) {
    CudaLaunch& launch = of.launch;
    for (void*& pointer : of.pointers) {
      each.push_back(&pointer);
    }
    for (uint32_t& scalar : launch.scalars) {
      each.push_back(&scalar);
    }
    node = {
        launch.function->on(of.device, launch.bytes > 0),
        {launch.groups[0], launch.groups[1], launch.groups[2]},
        {launch.threads, 1, 1},
        launch.bytes,
        each.data(),
        nullptr,
        nullptr,
        nullptr};
  }
  std::vector<void*> each;
  KernelNode node;
};

CudaGraph::CudaGraph(std::vector<CudaLaunched> launches)
    : launches_(std::move(launches)) {
  if (!(early_starts() && build(true)) && !build(false)) {
    throw std::runtime_error("the GPU's driver makes no graph of a step");
  }
}

CudaGraph::~CudaGraph() {
  drop();
}

void CudaGraph::drop() {
  if (made_) {
    driver().drop_made(made_);
  }
  if (graph_) {
    driver().drop(graph_);
  }
  made_ = graph_ = nullptr;
  nodes_.clear();
}

bool CudaGraph::build(bool early) {
  drop();
  const Driver& d = driver();
  int failed = d.create(&graph_, 0);
  for (CudaLaunched& launched : launches_) {
    const Arguments arguments(launched);
    void* node = nullptr;
    const bool first = nodes_.empty();
    void* before = first ? nullptr : nodes_.back();
    const bool ordered = !first && !early;
    failed = failed ? failed
                    : d.add(
                          &node,
                          graph_,
                          ordered ? &before : nullptr,
                          ordered ? 1 : 0,
                          &arguments.node);
    if (early && !first && !failed) {
      failed = d.link(graph_, &before, &node, &kEarly, 1);
    }
    nodes_.push_back(node);
  }
  failed = failed ? failed : d.make(&made_, graph_, 0);
  if (failed) {
    spdlog::warn(
        "the GPU's driver refused a graph of {} launches{}: error {}",
        launches_.size(),
        early ? " that start early" : "",
        failed);
  }
  return failed == 0;
}

void CudaGraph::run() {
  for (size_t i = 0; i < launches_.size(); ++i) {
    CudaLaunch& launch = launches_[i].launch;
    if (launch.renew && launch.renew(launch)) {
      const Arguments arguments(launches_[i]);
      check(driver().set(made_, nodes_[i], &arguments.node), "change a launch");
    }
  }
  check(driver().launch(made_, stream()), "start a step");
}

}  // namespace rapid
