// A recording again, on the engine: the same runs, and whether they give the
// same tokens. On a CPU they must, whatever the threads, the cache or what
// runs beside them.
//
//   const ReplayResult result = replay(engine, recording, stopped);
#pragma once

#include <functional>
#include <string>

#include "engine/recording.h"

namespace rapid {

struct ReplayResult {
  int runs = 0;
  int tokens = 0;  // compared, end tokens included
  bool same = true;
  std::string difference;  // "run 1, choice 0, token 17: 42, recorded 43"
};

// Of what was cut off in the recording its tokens are compared, no more.
// Errors: what the engine refuses now and did not then; cancelled.
Result<ReplayResult> replay(
    Engine& engine,
    const Recording& recording,
    const std::function<bool()>& stopped);

}  // namespace rapid
