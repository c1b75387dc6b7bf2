// KeptStates: the memory of an engine for the states of sequences. Plans what
// a request may use, gives it what is kept of its prompt, in memory or on disk,
// and keeps what it leaves. Only the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "cache/disk_tier.h"
#include "cache/prefix_trie.h"
#include "engine/engine.h"
#include "engine/mlx_sequence.h"

namespace rapid {

struct JobLimits {
  int context = 0;
  int max_tokens = 0;  // of each choice, after memory and context
};

class KeptStates {
 public:
  // `budget`: bytes for all states, 0 = no limit; `most_kept`: of them for
  // those that no request works on. `disk` may be null.
  KeptStates(
      StateCost cost,
      uint64_t budget,
      uint64_t most_kept,
      std::unique_ptr<DiskTier> disk);

  // Law 4: bytes are known before anything runs. too_large says how many.
  Result<JobLimits> limits(const GenerateRequest& request, int context) const;

  // A sequence with the longest kept prefix of the prompt. Kept states that
  // are in the way of the prompt's own are forgotten.
  Sequence take_up(
      const Model& model,
      const StateOptions& options,
      const GenerateRequest& request,
      const JobLimits& limits);
  // The running request holds so much and its next step may need `rows` new
  // pages a layer.
  void make_room(uint64_t held, int rows) {
    make_room(held + rows * cost_.bytes(1));
  }
  // A sequence of the request, or of as much of it as was done.
  void remember(const GenerateRequest& request, const Sequence& sequence);

  // Lets go of what has been written; now and then.
  void reap();

  TrieStats stats() const { return trie_.stats(); }
  uint64_t disk_bytes() { return disk_ ? disk_->stats().bytes : 0; }

 private:
  uint64_t need(const GenerateRequest& request, int64_t answer) const;
  void make_room(uint64_t bytes);
  TrieMatch from_disk(
      const Model& model,
      const StateOptions& options,
      std::span<const int32_t> prompt,
      int known);

  StateCost cost_;
  uint64_t budget_;
  PrefixTrie trie_;
  std::unique_ptr<DiskTier> disk_;
};

}  // namespace rapid
