// The Engine that runs models with MLX in this process.
//
// One thread owns everything of MLX: it loads the model, builds and evaluates
// graphs and destroys them. The Scheduler says what a step computes, KeptStates
// holds what past requests left; a prompt takes its longest prefix from there.
// An exception in a step fails the request that caused it only.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cache/disk_tier.h"
#include "engine/engine.h"
#include "engine/grammar_compiler.h"
#include "models/adapter.h"
#include "speculation/speculator.h"

namespace rapid {

using ModelLoader = std::function<Result<std::unique_ptr<Model>>()>;

struct EngineSetup {
  ModelLoader load;  // called on the engine thread
  StateOptions states;
  mx::Device device = mx::Device::cpu;
  std::string device_name = "cpu";
  int threads = 1;
  int context = 0;  // 0 = the model's
  int prefill_chunk = 512;
  int most_choices = 16;   // that run at once
  int most_waiting = 256;  // requests; more are refused (busy)
  Speculating speculating = Speculating::off;
  ModelLoader load_draft;     // that guesses; none = none
  uint64_t memory_limit = 0;  // for all; sets the two below. 0 = as they are
  uint64_t front_bytes = 0;   // of that, what other processes of ours hold
  std::optional<MemoryFacts> memory;  // of an earlier load; not measured then
  uint64_t state_budget = 0;          // bytes for all states; 0 = no limit
  uint64_t cache_bytes = 1u << 30;    // of them for states that no request uses
  std::optional<DiskTierOptions> disk;  // none = states end with the process
  GrammarWordsMaker grammar_words;      // none = no grammars
  std::vector<AdapterSource> adapters;
  // How they are loaded; a test has its own.
  std::function<Result<AdapterPtr>(const AdapterSource&, const Model&)>
      load_adapter = [](const AdapterSource& source, const Model& model) {
        return rapid::load_adapter(source.name, source.folder, model);
      };
};

// Blocks until the model is loaded.
Result<std::unique_ptr<Engine>> start_engine(EngineSetup setup);

}  // namespace rapid
