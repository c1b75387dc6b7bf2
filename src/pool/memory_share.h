// How one memory limit is shared by the models of a pool. Pure arithmetic.
//
// Each model in memory has a share: the bytes its worker plans with. The
// shares and what the front holds are never over the limit together. A model
// that comes in gets what it needs to work well; what is left then is cut
// into equal parts, one for it and one for each served model that is not in
// memory and would still fit beside it. So one model alone gets everything,
// and models that fit together get the same spare room each, in any order.
//
// To make room idle models go, least recently used first; never a pinned one.
// Busy ones are drained: they get nothing new and go when they are done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/memory_plan.h"

namespace rapid {

// Bytes of a model's worker, and of its text in the front.
struct MemoryNeed {
  uint64_t least = 0;  // under it there is no token
  uint64_t good = 0;   // its usual chunk, and a context of some length
};

// `weights`: bytes of its files; `facts`: what an earlier load measured.
MemoryNeed memory_need(
    uint64_t weights, const std::optional<MemoryFacts>& facts, uint64_t text);

struct Seat {
  enum class Phase { out, arriving, in, leaving };
  MemoryNeed need;
  uint64_t share = 0;
  Phase phase = Phase::out;
  bool pinned = false;
  bool busy = false;      // someone uses it
  bool expected = false;  // out, and room is kept for it
  double last_used = 0;
};

struct SeatDecision {
  enum class Kind { load, wait, refuse };
  Kind kind = Kind::wait;
  std::vector<size_t> evict;  // idle, may go now
  std::vector<size_t> drain;  // busy ones that are in the way
  uint64_t available = 0;     // load: its room; refuse: the most it could get
};

// What must happen for `wanted`, which is out. `room`: the limit less what
// the front holds.
SeatDecision decide_seat(
    std::span<const Seat> seats, size_t wanted, uint64_t room);

// What `wanted` gets of the room that others leave; 0 when that is less than
// it needs.
uint64_t memory_share(
    std::span<const Seat> seats, size_t wanted, uint64_t room);

}  // namespace rapid
