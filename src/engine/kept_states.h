// KeptStates: the memory of an engine for the states of sequences. Plans what
// a request may use, gives it what is kept of its prompt, and keeps what it
// leaves. Only the engine thread.
#pragma once

#include <cstdint>

#include "base/result.h"
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
  // those that no request works on.
  KeptStates(StateCost cost, uint64_t budget, uint64_t most_kept);

  // Law 4: bytes are known before anything runs. too_large says how many.
  Result<JobLimits> limits(const GenerateRequest& request, int context) const;

  // A sequence with the longest kept prefix of the prompt. Kept states that
  // are in the way of the request's own are forgotten.
  Sequence take_up(
      const Model& model,
      const StateOptions& options,
      const GenerateRequest& request,
      const JobLimits& limits);
  // A sequence of the request, or of as much of it as was done.
  void remember(const GenerateRequest& request, const Sequence& sequence);

  TrieStats stats() const { return trie_.stats(); }

 private:
  uint64_t need(const GenerateRequest& request, int64_t answer) const;

  StateCost cost_;
  uint64_t budget_;
  PrefixTrie trie_;
};

}  // namespace rapid
