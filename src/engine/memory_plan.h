// The memory contract (law 4): what a load will hold, in bytes, before it
// runs. Pure numbers: MemoryFacts are told once, when the model is loaded, and
// cross engine.h; the plan is arithmetic on them, the same for the engine
// that keeps to it and for the front that explains it.
//
//   held for good    weights, mapped weights, the process, the one before it
//   of the load      states (pages of keys and values), a step's workspace
//   set aside        reserve: grammars' tokenizer, rows of prompt logprobs
//   what is left     prompts kept for later, which give way to requests
//
//   const MemoryPlan plan = plan_memory(facts, 8192, 4);
//   if (!plan.fits) ...  // plan.total of plan.available
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace rapid {

// What the state of a sequence costs: pages, and what recurrent layers hold
// whatever its length.
struct StateCost {
  struct Layers {
    int count = 1;
    uint64_t page_bytes = 0;
    int64_t page_tokens = 1;
    int64_t window = 0;  // 0 = keeps all
    bool operator==(const Layers&) const = default;
  };
  std::vector<Layers> layers;
  uint64_t fixed_bytes = 0;

  void add(const Layers& layer);  // joins the last if it is alike
  // `chunk`: tokens of a step under way. Windows let go of what they leave
  // behind only when it begins.
  uint64_t bytes(int64_t tokens, int64_t chunk = 0) const;
  // Of what a first token adds.
  uint64_t page_bytes() const { return bytes(1) - fixed_bytes; }
  // What a snapshot in the middle of a sequence holds by itself, at most: all
  // that cannot go back to it. 0 = nothing.
  uint64_t snapshot_bytes() const;
  bool operator==(const StateCost&) const = default;
};

struct MemoryFacts {
  uint64_t limit = 0;          // for all of it; 0 = none, nothing is planned
  uint64_t weight_bytes = 0;   // packed or copied, in memory for good
  uint64_t mapped_bytes = 0;   // read from the file's map, at most
  uint64_t process_bytes = 0;  // program, metadata, threads
  uint64_t front_bytes = 0;    // the process before: sockets, tokenizer, text
  uint64_t reserve_bytes = 0;
  uint64_t row_bytes = 0;     // a token's activations in one layer's step
  uint64_t logits_bytes = 0;  // of one row
  int layers = 0;
  int prefill_chunk = 0;  // prompt tokens of a step, at most
  int most_choices = 0;   // that decode in a step, at most
  int model_context = 0;  // the model's, or --ctx if that is smaller
  int kv_bits = 0;        // of a key or value: 32, 16, or codes of 8 or 4
  StateCost states;
  bool operator==(const MemoryFacts&) const = default;
};

// Prompts that nobody works on get this part of the states' bytes.
inline constexpr uint64_t kCacheShare = 4;

struct MemoryPlan {
  int context = 0;
  int batch = 0;
  uint64_t weights = 0;
  uint64_t mapped_weights = 0;
  uint64_t process = 0;
  uint64_t front = 0;
  uint64_t workspace = 0;
  uint64_t states = 0;
  uint64_t kept_prompts = 0;  // their last pages, which answers don't share
  uint64_t total = 0;         // of the above
  uint64_t reserve = 0;       // beside the total
  uint64_t cache = 0;         // what stays for kept prompts
  uint64_t limit = 0;         // 0 = none
  uint64_t available = 0;     // for states, with this batch
  bool fits = true;
  int effective_context = 0;  // the longest of this many sequences that fits
};

// `context` 0 = the longest that fits. `batch`: sequences at once, each of
// that length.
MemoryPlan plan_memory(const MemoryFacts& facts, int context, int batch);

// Bytes of a step of so many prompt tokens and decoding choices: activations,
// rows of logits, and the pages that windows are about to leave.
// `longest`: tokens of the longest sequence.
uint64_t workspace_bytes(
    const MemoryFacts& facts, int prompt, int choices, int longest);

// Bytes for states when `most_choices` decode; 0 = the rest is too large.
uint64_t state_budget(const MemoryFacts& facts);

// The first rung of the ladder: the largest chunk whose workspace leaves most
// of the room to states.
int affordable_chunk(const MemoryFacts& facts, int wanted);

// The longest sequence whose state fits in so many bytes, at most `most`.
int longest_context(const StateCost& cost, uint64_t bytes, int most);

// Law 4's first question, before anything is loaded: a model of so many bytes
// under this limit.
Status check_weights_fit(uint64_t weights, uint64_t limit);

// Its second: loaded, is there room for a token?
Status check_room(const MemoryFacts& facts);

// The refusal of a prompt of so many tokens, which is over what the model or
// `available` bytes of states hold; with the numbers.
Error prompt_too_long(const MemoryFacts& facts, int length, uint64_t available);

// "4", "4GiB", "4000MiB", "1.5g": gibibytes unless it says otherwise; none if
// it is not an amount above zero.
std::optional<uint64_t> parse_memory(const std::string& text);

}  // namespace rapid
