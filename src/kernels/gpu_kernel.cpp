#include "kernels/gpu_kernel.h"

#include <fmt/format.h>
#include <mlx/backend/cuda/cuda.h>
#include <mlx/backend/metal/metal.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <future>
#include <memory>
#include <regex>
#include <stdexcept>

#include "base/log.h"
#include "kernels/gpu_compile.h"

namespace rapid {

namespace {

constexpr int kLeastCapability = 80;  // their tensor cores' instructions

bool find_cuda_kernels() {
  const char* wish = std::getenv("RAPID_MLX_GPU_KERNELS");
  if (wish && std::string_view(wish) == "0") {
    return false;
  }
  if (!mx::cu::is_available()) {
    return false;
  }
  if (!cuda_nodes_possible() || cuda_capability() < kLeastCapability ||
      !cuda_compiler_found()) {
    spdlog::warn("this GPU or installation runs MLX's own kernels only");
    return false;
  }
  return true;
}

bool find_metal_kernels() {
  return mx::metal::is_available() &&
         std::getenv("RAPID_MLX_METAL_KERNELS") != nullptr;
}

std::string_view text_of(std::string_view name) {
  const auto found = gpu_texts().find(name);
  if (found == gpu_texts().end()) {
    throw std::invalid_argument(fmt::format("no kernel text {}", name));
  }
  return found->second;
}

// The names that a text declares with KIND(type, name) or KIND(name).
std::vector<std::string> declared(
    const std::string& text, const std::string& kind) {
  std::vector<std::string> out;
  const std::regex pattern(
      "\\b(?:" + kind + ")\\((?:[a-z0-9_ ]+, *)?(\\w+)\\)");
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end;
       at != end;
       ++at) {
    out.push_back((*at)[1]);
  }
  return out;
}

// Attention over pages is several texts, and so are products of a few rows.
std::string whole_text(std::string_view name) {
  std::string out;
  if (name.starts_with("attention_")) {
    out += text_of("attention_pages");
  }
  if (name.starts_with("quantised_")) {
    out += text_of("quantised_parts");
  }
  return out += text_of(name);
}

}  // namespace

bool cuda_kernels_active() {
  static const bool found = find_cuda_kernels();
  return found && plain_not_forced() &&
         mx::default_device().type == mx::Device::gpu;
}

bool gpu_kernels_active() {
  static const bool found = find_metal_kernels();
  return cuda_kernels_active() ||
         (found && plain_not_forced() &&
          mx::default_device().type == mx::Device::gpu);
}

GpuKernel::GpuKernel(std::string_view name, const Defines& defines)
    : name_(name) {
  std::string head;
  for (const auto& [key, value] : defines) {
    name_ += fmt::format("_{}{}", key, value);
    head += fmt::format("#define {} {}\n", key, value);
  }
  const std::string text = whole_text(name);
  const std::string common(text_of("common"));
  source_ = fmt::format(
      "{}#define {} {}\n{}\n{}\n{}",
      head,
      name,
      name_,
      text_of("prelude_cuda"),
      common,
      text);
  const auto begin = text.find("KERNEL(");
  const auto body = text.find("\nBODY\n");
  repeats_ = text.find("AFTER_PREVIOUS;") != std::string::npos;
  threads_ = std::stoi(text.substr(text.find(',', begin) + 1));
  if (!mx::metal::is_available() || text.starts_with("// cuda")) {
    return;
  }
  const std::string signature = text.substr(begin, body - begin);
  std::vector<std::string> all = declared(signature, "IN");
  const auto scalars = declared(signature, "INT|FLOAT");
  const auto outputs = declared(signature, "OUT");
  all.insert(all.end(), scalars.begin(), scalars.end());
  const auto end = text.rfind("\nEND");
  metal_ = mx::fast::metal_kernel(
      name_,
      all,
      outputs,
      text.substr(body + 6, end - body - 5),
      head + std::string(text_of("prelude_metal")) + common +
          text.substr(0, begin));
}

std::vector<mx::array> GpuKernel::run(
    const std::vector<mx::array>& inputs,
    const std::vector<mx::Shape>& shapes,
    const std::vector<mx::Dtype>& types,
    const Scalars& scalars,
    Groups groups,
    int bytes,
    std::function<bool(CudaLaunch&)> renew) const {
  if (metal_) {
    const std::tuple<int, int, int> block(threads_, 1, 1);
    const std::tuple<int, int, int> grid(
        groups.x * threads_, groups.y, groups.z);
    std::vector<mx::array> all = inputs;
    for (const Scalar& scalar : scalars) {
      all.push_back(
          std::visit([](auto value) { return mx::array(value); }, scalar));
    }
    return metal_(all, shapes, types, grid, block, {}, std::nullopt, false, {});
  }
  if (!function_) {
    // Beside each other: the graph of a step names all its kernels before the
    // first one runs.
    const auto make = [source = source_, capability = cuda_capability()] {
      auto code = compile_cuda(source, capability);
      if (!code) {
        throw std::runtime_error(code.error().what);
      }
      return std::move(*code);
    };
    function_ = std::make_shared<CudaFunction>(
        name_, std::async(std::launch::async, make).share());
  }
  CudaLaunch launch;
  launch.function = function_;
  launch.groups[0] = static_cast<unsigned>(groups.x);
  launch.groups[1] = static_cast<unsigned>(groups.y);
  launch.groups[2] = static_cast<unsigned>(groups.z);
  launch.threads = static_cast<unsigned>(threads_);
  launch.bytes = static_cast<unsigned>(bytes);
  launch.repeats = repeats_;
  launch.renew = std::move(renew);
  for (const Scalar& scalar : scalars) {
    launch.scalars.push_back(
        std::visit([](auto v) { return std::bit_cast<uint32_t>(v); }, scalar));
  }
  launch.scalars.push_back(0);  // the one that ends the list, see BODY
  return cuda_node(std::move(launch), inputs, shapes, types);
}

const GpuKernel& gpu_kernel(std::string_view name, const Defines& defines) {
  // A few dozen at most, each met at every step: no key is made to find one.
  struct Known {
    std::string name;
    std::vector<int> values;
    std::unique_ptr<GpuKernel> kernel;
  };
  thread_local std::vector<Known> known;
  const auto same = [&](const Known& one) {
    return one.name == name && std::equal(
                                   defines.begin(),
                                   defines.end(),
                                   one.values.begin(),
                                   one.values.end(),
                                   [](const auto& define, int value) {
                                     return define.second == value;
                                   });
  };
  const auto found = std::find_if(known.begin(), known.end(), same);
  if (found != known.end()) {
    return *found->kernel;
  }
  Known fresh{
      std::string(name), {}, std::make_unique<GpuKernel>(name, defines)};
  for (const auto& [define, value] : defines) {
    fresh.values.push_back(value);
  }
  known.push_back(std::move(fresh));
  return *known.back().kernel;
}

}  // namespace rapid
