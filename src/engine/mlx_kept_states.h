// KeptStates: the memory of an engine for the states of sequences. Plans what
// a request may use, gives it what is kept of its prompt, in memory or on disk,
// and keeps what it leaves. Only the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/disk_tier.h"
#include "cache/prefix_trie.h"
#include "engine/engine.h"
#include "engine/mlx_sequence.h"
#include "engine/snapshot_plan.h"
#include "engine/state_key.h"

namespace rapid {

struct JobLimits {
  int context = 0;
  int max_tokens = 0;  // of each choice, after memory and context
  RotationForms forms;
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

  // Of the requests to come; before the first.
  void know(StateKeys keys, RotationForms forms) {
    keys_ = std::move(keys);
    forms_ = forms;
  }

  // Law 4: bytes are known before anything runs. too_large says how many; a
  // prompt that is too long for one choice is the engine's to refuse.
  Result<JobLimits> limits(const GenerateRequest& request, int context) const;

  // What a request may hold once so much of each answer is there.
  uint64_t need(const GenerateRequest& request, int64_t answer) const;
  // More than that of all requests together does not fit.
  bool fits(uint64_t bytes) const { return budget_ == 0 || bytes <= budget_; }
  // Requests hold so much, or are about to: kept states that are in the way
  // are forgotten.
  void make_room(uint64_t bytes);
  uint64_t page_bytes() const { return cost_.page_bytes(); }
  uint64_t fixed_bytes() const { return cost_.fixed_bytes; }

  // Gives the sequence states of its form, with the longest kept prefix of its
  // tokens. Returns how many of them an earlier request had, too.
  int take_up(
      const Model& model,
      const StateOptions& options,
      const GenerateRequest& request,
      const std::string& lane,
      Sequence& sequence);
  // Where such a sequence shall be remembered on its way to the prompt's end.
  std::vector<SnapshotPlace> places(
      const GenerateRequest& request, int known, int common) const;
  // How much of it that would be.
  int known(const GenerateRequest& request, std::span<const int32_t> tokens);
  // A sequence of the request, or of as much of it as was done. Not `on_disk`:
  // in memory only, where somebody waits for it.
  void remember(
      const GenerateRequest& request,
      const std::string& lane,
      const Sequence& sequence,
      bool on_disk = true);

  // The conversations used last come back from disk before anyone waits for
  // them. How much the next one would take; 0: there is none.
  uint64_t next_to_warm() const;
  void warm(const Model& model, const StateOptions& options);  // that one

  void clear();  // but for what requests work on

  // Lets go of what has been written; now and then.
  void reap();

  TrieStats stats() const { return trie_.stats(); }
  Status check_integrity() const { return trie_.check_integrity(); }
  uint64_t disk_bytes() { return disk_ ? disk_->stats().bytes : 0; }

 private:
  TrieMatch from_disk(
      const Model& model,
      const StateOptions& options,
      std::span<const int32_t> tokens,
      size_t limit,
      int known);

  StateCost cost_;
  uint64_t budget_;
  uint64_t most_kept_;
  StateKeys keys_;
  RotationForms forms_;
  // Their tokens, and those on disk, are keys.
  PrefixTrie trie_;
  std::unique_ptr<DiskTier> disk_;
  size_t most_warm_ = 0;  // bytes
  std::vector<std::vector<int32_t>> to_warm_;
};

}  // namespace rapid
