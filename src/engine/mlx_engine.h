// The Engine that runs models with MLX in this process.
//
// One thread owns everything of MLX: it loads the model, builds and evaluates
// graphs and destroys them. Requests run first come, first served; a step is
// one prefill chunk or one token of every choice. KeptStates holds what past
// requests left; a prompt takes its longest prefix from there. An exception
// in a step fails that request only.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cache/disk_tier.h"
#include "engine/engine.h"
#include "engine/grammar_compiler.h"
#include "models/model.h"

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
  uint64_t state_budget = 0;        // bytes for all states; 0 = no limit
  uint64_t cache_bytes = 1u << 30;  // of them for states that no request uses
  std::optional<DiskTierOptions> disk;  // none = states end with the process
  GrammarWordsMaker grammar_words;      // none = no grammars
};

// Blocks until the model is loaded.
Result<std::unique_ptr<Engine>> start_engine(EngineSetup setup);

}  // namespace rapid
