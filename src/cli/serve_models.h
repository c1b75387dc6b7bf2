// The models of `serve`: files on this machine or fetched, text in this
// process, an engine in a process of its own for each.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "cli/options.h"
#include "engine/front.h"
#include "engine/worker_engine.h"
#include "pool/model_provider.h"

namespace rapid {

struct ServedOptions {
  EngineFlags engine;
  std::string format;  // of the only model; "" = by template
  FrontOptions front;
  double disk_gib = 8;
  std::string memory_limit;  // checked; "" = by the machine
  int parallel = EngineOptions().most_choices;
  int queue = EngineOptions().most_waiting;
  std::string cache_folder;  // "" = the usual one
  std::string record;        // a folder; "" = nothing is recorded
  // Has the adapters; its recordings lie in `record` itself.
  std::string first;
  bool in_process = false;
  double worker_timeout = WorkerSettings().stall_seconds;

  // Bytes, over all models.
  uint64_t limit() const;
  // A folder of what outlives a restart; "": nothing does.
  std::filesystem::path kept(const char* part) const;
};

class ServedModels final : public ModelProvider {
 public:
  // `cancelled` is polled while a model is fetched.
  ServedModels(ServedOptions options, std::function<bool()> cancelled);

  // A download can be stopped, a load cannot.
  bool fetching() const { return fetching_ > 0; }

  Result<ModelNames> locate(const std::string& model) override;
  uint64_t weight_bytes(const ModelNames& names) override;
  Result<ModelNames> fetch(const ModelNames& names, const Tell& tell) override;
  Result<std::shared_ptr<Backend>> load(
      const ModelNames& names, const Budget& budget, const Tell& tell) override;
  void forget(const ModelNames& names) override;
  uint64_t front_bytes() override;

 private:
  EngineOptions engine_options(const ModelNames& names, uint64_t share) const;

  const ServedOptions options_;
  const std::function<bool()> cancelled_;
  std::mutex one_fetch_;  // they share a line of the terminal
  std::atomic<int> fetching_ = 0;
};

}  // namespace rapid
