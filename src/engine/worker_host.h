// The worker's side of a worker process: an Engine behind a socket.
//
// The first message says what to load; then requests come in and events go
// out until the other end goes. That is seen at once, also while a step runs:
// an engine that takes longer than `grace` to end then is cut off.
//
//   return serve_worker({.fd = 3, .make = make_engine});
#pragma once

#include <functional>

#include "engine/engine.h"

namespace rapid {

using EngineMaker =
    std::function<Result<std::unique_ptr<Engine>>(const EngineOptions&)>;

struct WorkerHostOptions {
  int fd = -1;  // of a socket; closed at the end
  EngineMaker make;
  double grace = 3;     // seconds for the engine to end, without a front
  double pulse = 0.25;  // seconds between two WirePulse under work
  // Ends the process; by default _exit(1). For tests.
  std::function<void()> cut_off;
};

// Blocks until the front is gone. False: nothing was loaded.
bool serve_worker(WorkerHostOptions options);

}  // namespace rapid
