// `bench --vs-llama-bench`: checks, progress, Ctrl-C and the table around
// bench/side_by_side.h.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "bench/bench.h"

namespace rapid {

struct VersusRequest {
  std::string model;  // as the user wrote it
  std::string peer;   // the llama-bench to run
  BenchOptions bench;
  int threads = 0;  // 0 = all cores
  std::vector<std::string> engine_flags;
  bool json = false;
};

// Prints the result. Errors: invalid_argument when the model is no GGUF file,
// cancelled, or what side_by_side says.
Status run_versus(const VersusRequest& request);

}  // namespace rapid
