// The numbers that the memory plan starts from, measured on the loaded model.
// Only the engine thread.
#pragma once

#include "engine/mlx_draft_model.h"
#include "engine/mlx_engine.h"

namespace rapid {

// The weights, adapters and a draft model are in memory and one token, `probe`,
// has been through them: what the process holds now beside the probe it holds
// for good.
MemoryFacts measure_memory(
    const EngineSetup& setup,
    const ModelInfo& model,
    uint64_t adapter_bytes,
    const DraftModel* draft,  // null: none
    const SequenceState& probe);

}  // namespace rapid
