// make_engine: from files and options to a running engine.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/log.h"
#include "base/platform.h"
#include "engine/mlx_engine.h"
#include "engine/text_codec.h"
#include "hub/model_files.h"
#include "mlx/backend/cuda/cuda.h"
#include "mlx/backend/metal/metal.h"
#include "models/registry.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {
namespace {

struct DeviceChoice {
  mx::Device device;
  std::string name;
};

Error no_device(const std::string& wanted) {
  return {
      ErrorCode::unsupported,
      fmt::format("this build or machine has no device \"{}\"", wanted),
      "use --device auto, cpu, metal or cuda[:N]",
      "device"};
}

Result<DeviceChoice> choose_device(const std::string& wanted) {
  const bool cuda = mx::cu::is_available();
  const bool metal = mx::metal::is_available();
  if (wanted == "cpu" || (wanted == "auto" && !cuda && !metal)) {
    return DeviceChoice{mx::Device::cpu, "cpu"};
  }
  if (metal && (wanted == "auto" || wanted == "metal")) {
    return DeviceChoice{mx::Device::gpu, "metal"};
  }
  if (!cuda || !(wanted == "auto" || wanted.starts_with("cuda"))) {
    return no_device(wanted);
  }
  int index = 0;
  if (wanted.starts_with("cuda") && wanted != "cuda") {
    const char* end = wanted.data() + wanted.size();
    const char* begin = wanted.data() + std::min<size_t>(5, wanted.size());
    const auto parsed = std::from_chars(begin, end, index);
    if (wanted[4] != ':' || parsed.ec != std::errc() || parsed.ptr != end ||
        index < 0 || !mx::is_available(mx::Device(mx::Device::gpu, index))) {
      return no_device(wanted);
    }
  }
  return DeviceChoice{
      mx::Device(mx::Device::gpu, index), fmt::format("cuda:{}", index)};
}

// The engine's own tokenizer, from the files: the front may be a process away.
Result<GrammarWords> grammar_words(const std::string& path, int32_t rows) {
  RAPID_TRY(auto files, ModelFiles::open(path));
  RAPID_TRY(auto tokenizer, open_tokenizer(*files));
  std::vector<int32_t> ends = file_end_tokens(*files, *tokenizer);
  std::erase_if(
      ends, [&](int32_t id) { return id < 0 || id >= tokenizer->size(); });
  return GrammarVocabulary::build(std::move(tokenizer), ends, rows);
}

// The machine is not ours alone: prompts that nobody works on are kept in
// this part of what a request may use.
constexpr uint64_t kCacheShare = 4;

// Bit-equal answers (law 3): a state is only for the arithmetic that made it.
std::string state_fingerprint(
    const EngineOptions& options, const ModelFiles& files) {
  std::error_code none;
  const auto written =
      std::filesystem::last_write_time(options.model_path, none);
  return fmt::format(
      "{} {} {} {} {} {}",
      options.model_path,
      files.bytes(),
      written.time_since_epoch().count(),
      options.build,
      isa_name(active_isa()),
      options.exact ? "exact" : "fast");
}

std::optional<DiskTierOptions> disk_options(
    const EngineOptions& options,
    const ModelFiles& files,
    const DeviceChoice& device) {
  // Elsewhere every save would copy the pages from the device.
  if (options.disk_folder.empty() || device.device != mx::Device::cpu) {
    return std::nullopt;
  }
  const std::filesystem::path folder = options.disk_folder;
  std::error_code none;
  std::filesystem::create_directories(folder, none);
  // What people said is nobody else's business.
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all, none);
  const auto space = std::filesystem::space(folder, none);
  const uint64_t free = none ? 0 : space.available;
  const auto name = std::hash<std::string>()(options.model_path);
  return DiskTierOptions{
      .folder = folder / fmt::format("{:016x}", name),
      .fingerprint = state_fingerprint(options, files),
      .byte_cap = std::min(options.disk_bytes, free / 10)};
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(const EngineOptions& options) {
  RAPID_TRY(DeviceChoice device, choose_device(options.device));
  RAPID_TRY(auto files, ModelFiles::open(options.model_path));
  if (const char* wish = refused_isa_wish()) {
    spdlog::warn(
        "RAPID_MLX_ISA={} is not one that this machine runs; using {}",
        wish,
        isa_name(active_isa()));
  }
  ThreadPool::set_global_threads(options.threads);
  EngineSetup setup;
  setup.load = [files, exact = options.exact] {
    return ModelRegistry::global().load(files, {.exact = exact});
  };
  // float16 pages halve the memory and its traffic; --exact keeps float32.
  setup.states.kv_dtype = options.exact ? mx::float32 : mx::float16;
  setup.device = device.device;
  setup.device_name = device.name;
  setup.threads = ThreadPool::global().threads();
  setup.context = options.context;
  setup.prefill_chunk = std::max(options.prefill_chunk, 1);
  setup.grammar_words = [path = options.model_path](int32_t rows) {
    return grammar_words(path, rows);
  };
  // 90 % of the machine, less what the weights occupy.
  const uint64_t usable = total_memory_bytes() / 10 * 9;
  const uint64_t weights = files->bytes();
  setup.state_budget = usable > weights ? usable - weights : 1;
  setup.cache_bytes = setup.state_budget / kCacheShare;
  setup.disk = disk_options(options, *files, device);
  return start_engine(std::move(setup));
}

}  // namespace rapid
