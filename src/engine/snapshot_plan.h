// Where a prompt's states are kept on the way, before it is prefilled: chunks
// end there. States that can go back to any token need it only at the end; of
// others (recurrent ones, windows that moved on) snapshots are placed where
// later requests are expected to leave the prompt (cache/snapshot_placement.h).
// Pure numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/engine.h"
#include "engine/memory_plan.h"

namespace rapid {

struct SnapshotPlace {
  int position = 0;      // tokens before it
  bool lasting = false;  // worth keeping on disk
};

struct PromptToPlace {
  int length = 0;
  int known = 0;   // tokens whose state is there
  int common = 0;  // tokens that an earlier request had, too
  PromptBorders borders;
};

// Ascending, all behind `known`. `byte_budget`: of new snapshots.
std::vector<SnapshotPlace> plan_snapshots(
    const StateCost& cost, const PromptToPlace& prompt, uint64_t byte_budget);

}  // namespace rapid
