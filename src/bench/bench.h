// Speed of one engine: prefill, decode and time to first token.
//
// A run submits one request of `prompt` random tokens (fixed seed, so every
// run and machine sees the same ids for a vocabulary) and `batch` choices that
// share it, greedy, with no prompt cache and no end tokens. One warm-up run is
// thrown away; the report holds medians over the others.
//
//   prefill_tps = prompt tokens / time from submit to EnginePrefilled
//   ttft_ms     = time from submit to the first token
//   decode_tps  = (tokens - one per choice) / time from first to last token,
//                 of all choices together; absent when generate = 1
//
// Blocks the calling thread; needs an engine that does nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace rapid {

struct BenchOptions {
  int prompt = 512;
  int generate = 64;
  int batch = 1;
  int runs = 3;
  uint64_t seed = 1;
  std::function<bool()> cancelled;      // polled
  std::function<void(int)> before_run;  // 0 = warm-up, then 1..runs
};

struct BenchRun {
  double prefill_tps = 0;
  std::optional<double> decode_tps;
  double ttft_seconds = 0;
};

struct BenchReport {
  BenchRun median;
  std::vector<BenchRun> runs;
};

// Errors: context_length when prompt + generate do not fit, cancelled, or what
// the engine said.
Result<BenchReport> run_bench(Engine& engine, const BenchOptions& options);

// `count` ids in [0, vocabulary), the same for the same arguments anywhere.
std::vector<int32_t> random_tokens(int count, int vocabulary, uint64_t seed);

double median(std::vector<double> values);  // of at least one

}  // namespace rapid
