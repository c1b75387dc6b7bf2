// make_engine: from files and options to a running engine.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/log.h"
#include "base/platform.h"
#include "engine/mlx_draft_model.h"
#include "engine/mlx_engine.h"
#include "engine/model_folder.h"
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
  // Launches go out while the rest of a step is still being built; gathered in
  // graphs they wait for each other. Who sets it, has it (docs/GPU.md).
  ::setenv("MLX_USE_CUDA_GRAPHS", "0", 0);
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

Status check_kv_bits(const EngineOptions& options) {
  const int bits = options.kv_bits;
  if (bits != 16 && bits != 8 && bits != 4) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} is no number of bits for keys and values", bits),
        "16, 8 or 4",
        "kv_bits"};
  }
  if (options.exact && bits != 16) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "exact keys and values are float32, not codes of {} bits", bits),
        "leave out --exact or --kv-bits",
        "kv_bits"};
  }
  return {};
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
      options.exact ? "exact" : fmt::format("fast{}", options.kv_bits));
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
  return DiskTierOptions{
      .folder = model_folder(folder, options.model_path),
      .fingerprint = state_fingerprint(options, files),
      .byte_cap = std::min(options.disk_bytes, free / 10)};
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(const EngineOptions& options) {
  RAPID_CHECK(check_kv_bits(options));
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
  setup.load = [files, exact = options.exact, context = options.context] {
    return ModelRegistry::global().load(
        files, {.exact = exact, .context = context});
  };
  // float16 pages halve the memory and its traffic; --exact keeps float32.
  setup.states.kv_dtype = options.exact ? mx::float32 : mx::float16;
  setup.states.kv_bits = options.kv_bits < 16 ? options.kv_bits : 0;
  setup.device = device.device;
  setup.device_name = device.name;
  setup.threads = ThreadPool::global().threads();
  setup.context = options.context;
  // A GPU reads all weights once a step; with few rows that is most of it.
  const int longer = device.name.starts_with("cuda") ? 4 : 1;
  setup.prefill_chunk = std::max(options.prefill_chunk, 1) * longer;
  setup.most_choices = std::max(options.most_choices, 1);
  setup.most_waiting = std::max(options.most_waiting, 0);
  setup.grammar_words = [path = options.model_path](int32_t rows) {
    return grammar_words(path, rows);
  };
  // The machine is not ours alone.
  setup.memory_limit = options.memory_limit > 0 ? options.memory_limit
                                                : memory_limit_bytes() / 10 * 9;
  setup.front_bytes = options.front_bytes;
  setup.memory = options.memory;
  setup.adapters = options.adapters;
  uint64_t weights = files->bytes();
  if (!options.draft_path.empty()) {
    if (options.speculation == Speculation::off) {
      return Error{
          ErrorCode::invalid_argument,
          "a draft model guesses, and guesses are off",
          "leave out --draft or --speculate off",
          "draft"};
    }
    RAPID_CHECK(same_vocabulary(options.draft_path, options.model_path));
    RAPID_TRY(auto draft, ModelFiles::open(options.draft_path));
    weights += draft->bytes();
    setup.load_draft = [draft, exact = options.exact] {
      return ModelRegistry::global().load(
          draft, {.exact = exact, .context = DraftModel::kMostHeld});
    };
  }
  if (options.speculation == Speculation::ngram || setup.load_draft ||
      (options.speculation == Speculation::automatic &&
       device.device == mx::Device::cpu)) {
    setup.speculating = Speculating::where_it_pays;
  }
  RAPID_CHECK(check_weights_fit(weights, setup.memory_limit));
  setup.disk = disk_options(options, *files, device);
  return start_engine(std::move(setup));
}

}  // namespace rapid
