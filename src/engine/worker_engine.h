// The Engine that runs in a process of its own, and outlives it.
//
// A worker that dies, or gets nowhere for `stall_seconds` while there is work,
// is replaced, and every open request goes on (OpenRequest): its sink gets the
// events of an undisturbed run. States come back from the disk tier or are
// computed again.
//
// A request whose worker died twice without any progress in between fails, and
// so does every one like it from then on. Where several are suspected they go
// on one by one until each has got a step further, so that only the guilty one
// is blamed. A SIGKILL from outside counts less: five in a row. A worker that
// cannot be loaded again is tried a few times; then requests fail with its
// error, and stats() tells. Later ones try again.
//
// Destroying the engine ends the worker; so does the end of this process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace rapid {

struct WorkerSettings {
  std::string program;               // calls serve_worker() on file 3
  std::vector<std::string> command;  // its name and arguments
  double stall_seconds = 120;
  double load_seconds = 1800;
  double first_delay = 0.5;  // before the second try in a row; doubles, to 8 s
  int most_loads = 4;        // that fail in a row
  double quit_seconds = 5;   // for the worker to end when the engine does
};

// What this process holds for itself: pages of the program's file are the
// worker's too, and there once.
uint64_t front_bytes_now();
// What texts and sockets of many streams may add to that (measured).
inline constexpr uint64_t kFrontGrowth = 4 << 20;

// Blocks until the worker has loaded the model. Without `front_bytes` the
// front takes what it holds now, and its growth.
Result<std::unique_ptr<Engine>> start_worker_engine(
    const EngineOptions& options, WorkerSettings settings);

}  // namespace rapid
