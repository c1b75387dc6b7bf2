// Where to take snapshots of states that cannot rewind: at which tokens of a
// prompt that is about to be prefilled.
//
// A border is a place where a later request may leave this prompt, with how
// often that is expected. Such a request starts from the last snapshot at or
// before its border, so a set S of snapshots saves
//   sum over borders  weight * seconds_per_token * max{s in S, s <= position}
// and costs its bytes. place_snapshots() returns the set that saves most,
// exactly: at most byte_budget new bytes, and none that saves less than
// min_seconds_per_byte. Snapshots that are there already count and are free.
//
// The last token of a prompt is always computed again (its logits are needed),
// so the border at a prompt's end lies before it. Pure functions.
//
//   std::vector<Border> borders = {{n_system, weight_of(BorderKind::front)}};
//   for (auto at : place_snapshots(borders, known, options)) end a chunk at at;
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace rapid {

struct Border {
  int position = 0;   // tokens before it
  double weight = 0;  // requests expected to share exactly these
};

enum class BorderKind {
  front,    // behind the system prompt and the tools: every session has it
  branch,   // where requests have parted before (PrefixTrie's common length)
  message,  // behind a message, `back` messages before the end
  turn,     // where the answer begins as later prompts write it: templates that
            // drop its reasoning, and stop the prompt's end from matching
  end,      // of the prompt: retries, and the next turn of the conversation
};

// How many later requests are expected there, by what agents do: nearly all
// go on from the end, some edit one of the last messages, new sessions and
// sub-agents share the front.
double weight_of(BorderKind kind, int back = 0);

struct PlacementOptions {
  double seconds_per_token = 1e-3;  // of prefill, as measured
  size_t bytes_per_snapshot = 0;    // of all layers that cannot rewind
  size_t byte_budget = 0;
  double min_seconds_per_byte = 0;
};

// New positions, ascending, each the position of a border. `existing` in any
// order.
std::vector<int> place_snapshots(
    std::span<const Border> borders,
    std::span<const int> existing,
    const PlacementOptions& options);

// What these snapshots save, by the formula above.
double expected_seconds(
    std::span<const Border> borders,
    std::span<const int> snapshots,
    double seconds_per_token);

}  // namespace rapid
