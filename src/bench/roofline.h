// How near an engine on the CPU comes to what the machine can do: a decode
// step against the speed of reading memory, a prompt against that of int8
// products, op by op.
//
// Measures the machine first (simd/machine_peaks.h), then runs a request of
// one token and its decode steps, then one prompt. A step's time is the median
// over all steps; bytes are those that its kernels really read. An op that has
// no kernel of its own counts under "other", with its time alone.
//
//   RAPID_TRY(const Roofline r, measure_roofline(*engine, {}));
//   print_json(to_json(r));
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "bench/bench.h"
#include "simd/machine_peaks.h"

namespace rapid {

struct OpShare {
  std::string op;
  int calls = 0;       // of a step
  double seconds = 0;  // of a step, all calls together
  double bytes = 0;
  double operations = 0;
};

struct Roofline {
  MachinePeaks peaks;
  double step_seconds = 0;     // from a step's first op to that of the next
  double fastest_seconds = 0;  // the shortest of them
  int steps = 0;
  std::vector<OpShare> decode;  // of a step, in order; "other" last
  int prompt = 0;
  double prompt_seconds = 0;
  std::vector<OpShare> prefill;  // of the prompt

  double step_bytes() const;
  // Of the bound: how long a step would take at least, to how long it took.
  double decode_share() const;
  double prefill_share() const;
};

// `options.prompt` is the prompt's length, `options.generate` the steps.
Result<Roofline> measure_roofline(Engine& engine, const BenchOptions& options);

Json to_json(const Roofline& roofline);

}  // namespace rapid
