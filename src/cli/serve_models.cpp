#include "cli/serve_models.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "api/front_backend.h"
#include "base/companion.h"
#include "base/home.h"
#include "base/platform.h"
#include "cli/model_loading.h"
#include "cli/table.h"
#include "engine/memory_plan.h"
#include "engine/model_folder.h"
#include "engine/request_recorder.h"
#include "engine/turn_record.h"
#include "hub/architecture.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;

// A file name for a model's name.
std::string plain(std::string name) {
  for (char& c : name) {
    const bool safe = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                      (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
    c = safe ? c : '_';
  }
  return name;
}

bool holds_weights(const fs::path& file) {
  return file.extension() == ".safetensors" || file.extension() == ".gguf";
}

}  // namespace

uint64_t ServedOptions::limit() const {
  // The machine is not ours alone.
  return parse_memory(memory_limit).value_or(memory_limit_bytes() / 10 * 9);
}

fs::path ServedOptions::kept(const char* part) const {
  if (disk_gib <= 0) {
    return "";
  }
  return (cache_folder.empty() ? cache_dir() : fs::path(cache_folder)) / part;
}

ServedModels::ServedModels(
    ServedOptions options, std::function<bool()> cancelled)
    : options_(std::move(options)), cancelled_(std::move(cancelled)) {}

Result<ModelNames> ServedModels::locate(const std::string& model) {
  RAPID_CHECK(check_runs(model));
  RAPID_TRY(const auto path, Store::open_default().locate(model));
  RAPID_CHECK(check_architecture(model, architecture_of(path.string())));
  return ModelNames{
      .name = model,
      .alias = find_in_catalogue(model) ? model : "",
      .path = path.string()};
}

uint64_t ServedModels::weight_bytes(const ModelNames& names) {
  if (names.path.empty()) {
    const CatalogueEntry* entry = find_in_catalogue(names.alias);
    return entry != nullptr ? entry->bytes : 0;
  }
  std::error_code failed;
  if (!fs::is_directory(names.path, failed)) {
    const uint64_t bytes = fs::file_size(names.path, failed);
    return failed ? 0 : bytes;
  }
  uint64_t sum = 0;
  for (const auto& file : fs::directory_iterator(names.path, failed)) {
    const uint64_t bytes =
        holds_weights(file.path()) ? fs::file_size(file.path(), failed) : 0;
    sum += failed ? 0 : bytes;
  }
  return sum;
}

Result<ModelNames> ServedModels::fetch(
    const ModelNames& names, const Tell& tell) {
  ++fetching_;
  std::lock_guard lock(one_fetch_);
  tell("fetching");
  auto place = fetch_model(names.name, {.cancelled = cancelled_});
  --fetching_;
  if (!place) {
    return place.error();
  }
  // Before it takes the place of others.
  RAPID_CHECK(check_architecture(names.name, architecture_of(place->path)));
  return ModelNames{
      .name = names.name, .alias = names.alias, .path = place->path};
}

EngineOptions ServedModels::engine_options(
    const ModelNames& names, uint64_t share) const {
  constexpr double kGiB = 1 << 30;
  EngineOptions out = options_.engine.engine_options(names.path);
  if (names.name != options_.first) {
    out.adapters.clear();
  }
  out.most_choices = options_.parallel;
  out.most_waiting = options_.queue;
  out.memory_limit = share;
  if (options_.disk_gib > 0) {
    out.disk_folder = options_.kept("states").string();
    out.disk_bytes = static_cast<uint64_t>(options_.disk_gib * kGiB);
    out.build = RAPID_MLX_VERSION;
  }
  return out;
}

Result<std::shared_ptr<Backend>> ServedModels::load(
    const ModelNames& names, const Budget& budget, const Tell& tell) {
  tell("reading its text");
  const ModelPlace place{names.name, names.alias, names.path};
  RAPID_TRY(const auto text, open_text(place, options_.format));
  const uint64_t front_now = front_bytes();
  RAPID_TRY(const uint64_t share, budget(front_now));
  tell(fmt::format("loading {} of weights", human_bytes(weight_bytes(names))));
  EngineOptions options = engine_options(names, share);
  if (!options_.engine.draft.empty() && names.name == options_.first) {
    RAPID_TRY(
        const auto draft,
        fetch_model(options_.engine.draft, {.cancelled = cancelled_}));
    options.draft_path = draft.path;
  }
  std::shared_ptr<Engine> engine;
  if (options_.in_process) {
    RAPID_TRY(engine, make_engine(options));
  } else {
    // A worker's plan counts the front, which is there once for all of them.
    options.front_bytes = front_now + kFrontGrowth;
    options.memory_limit += options.front_bytes;
    RAPID_TRY(
        engine,
        start_worker_engine(
            options,
            {.program = program_itself(),
             .command =
                 {"rapid-mlx",
                  "worker",
                  "--fd",
                  std::to_string(Companion::kChildFd)},
             .stall_seconds = options_.worker_timeout}));
  }
  FrontOptions front = options_.front;
  const fs::path ledgers = options_.kept("ledger");
  front.ledger = open_turn_ledger(
      *text, ledgers.empty() ? "" : model_folder(ledgers, names.path));
  if (!options_.record.empty()) {
    const fs::path folder = options_.record;
    RAPID_TRY(
        front.recorder,
        RequestRecorder::start(
            names.name == options_.first ? folder : folder / plain(names.name),
            text,
            options_.engine.exact,
            RAPID_MLX_VERSION));
    engine = front.recorder->wrap(std::move(engine));
  }
  return make_front_backend(
      std::make_shared<Front>(std::move(engine), text, front));
}

void ServedModels::forget(const ModelNames& names) {
  std::string path = names.path;
  if (path.empty()) {  // nobody asked for it yet
    const auto here = Store::open_default().locate(names.name);
    path = here ? here->string() : "";
  }
  for (const char* part : {"states", "ledger"}) {
    if (const fs::path folder = options_.kept(part);
        !folder.empty() && !path.empty()) {
      std::error_code failed;
      fs::remove_all(model_folder(folder, path), failed);
    }
  }
}

uint64_t ServedModels::front_bytes() {
  // In one process all is the engine's.
  return options_.in_process ? 0 : front_bytes_now();
}

}  // namespace rapid
