// What this machine's cores do, measured with the engine's own inner loops on
// made-up weights: how fast one row of activations gets through weights in
// memory (decode), many rows through weights in the cache (prompts), and what
// a round of all threads costs beside. About 0.2 s.
#pragma once

#include <cstdint>

namespace rapid {

struct CpuSpeed {
  double read = 20e9;           // bytes of packed weights a second
  double round_seconds = 5e-6;  // all threads meeting for one more product
  double multiply = 5e11;       // operations of products with many rows
  double attend = 1e11;         // the same of attention over a long prompt

  bool operator==(const CpuSpeed&) const = default;
};

// `memory`: what the probe may take at most.
CpuSpeed probe_cpu(int threads, uint64_t memory);

}  // namespace rapid
