#include "pool/memory_share.h"

#include <algorithm>

namespace rapid {
namespace {

// Before the first load only the files' size is known. What else it takes is
// guessed: packed weights can be larger, and there are the program, its
// tokenizer, workspace and some states (100 to 170 MiB, measured).
constexpr uint64_t kGuessedParts = 8;  // of the weights, one
constexpr uint64_t kGuessedRest = uint64_t{192} << 20;
constexpr int kGoodContext = 4096;
constexpr int kLeastContext = 2;
constexpr int kLeastChunk = 16;

uint64_t less(uint64_t from, uint64_t bytes) {
  return from > bytes ? from - bytes : 0;
}

// What all but `wanted` have.
uint64_t held(std::span<const Seat> seats, size_t wanted) {
  uint64_t sum = 0;
  for (size_t i = 0; i < seats.size(); ++i) {
    sum += i == wanted ? 0 : seats[i].share;
  }
  return sum;
}

// Those that could go, least recently used first.
std::vector<size_t> candidates(
    std::span<const Seat> seats, size_t wanted, bool busy) {
  std::vector<size_t> out;
  for (size_t i = 0; i < seats.size(); ++i) {
    const Seat& seat = seats[i];
    if (i != wanted && seat.phase == Seat::Phase::in && !seat.pinned &&
        seat.busy == busy) {
      out.push_back(i);
    }
  }
  std::ranges::stable_sort(
      out, {}, [&](size_t i) { return seats[i].last_used; });
  return out;
}

// Takes from `from` until `bytes` reach `target`.
std::vector<size_t> take_until(
    std::span<const Seat> seats,
    const std::vector<size_t>& from,
    uint64_t target,
    uint64_t& bytes) {
  std::vector<size_t> out;
  for (const size_t i : from) {
    if (bytes >= target) {
      break;
    }
    out.push_back(i);
    bytes += seats[i].share;
  }
  return out;
}

}  // namespace

MemoryNeed memory_need(
    uint64_t weights, const std::optional<MemoryFacts>& facts, uint64_t text) {
  if (!facts) {
    return {weights, weights + weights / kGuessedParts + kGuessedRest};
  }
  const uint64_t held = facts->weight_bytes + facts->mapped_bytes +
                        facts->process_bytes + facts->reserve_bytes + text;
  const auto with = [&](int chunk, int context) {
    const int length = std::min(context, facts->model_context);
    return held + facts->states.bytes(length) +
           workspace_bytes(
               *facts, chunk, facts->most_choices, facts->model_context);
  };
  return {
      with(std::min(facts->prefill_chunk, kLeastChunk), kLeastContext),
      with(facts->prefill_chunk, kGoodContext)};
}

SeatDecision decide_seat(
    std::span<const Seat> seats, size_t wanted, uint64_t room) {
  using Kind = SeatDecision::Kind;
  const MemoryNeed& need = seats[wanted].need;
  const uint64_t target = std::min(std::max(need.good, need.least), room);
  SeatDecision out;
  uint64_t bytes = less(room, held(seats, wanted));
  out.available = bytes;
  if (bytes >= target && bytes >= need.least) {
    out.kind = Kind::load;
    return out;
  }
  bool moving = false;  // others are on their way
  uint64_t arriving = 0;
  for (const Seat& seat : seats) {
    if (seat.phase == Seat::Phase::leaving) {
      moving = true;
      bytes += seat.share;
    } else if (seat.phase == Seat::Phase::arriving && !seat.pinned) {
      moving = true;
      arriving += seat.share;
    }
  }
  const auto idle = candidates(seats, wanted, false);
  const auto busy = candidates(seats, wanted, true);
  uint64_t most = bytes + arriving;
  for (const auto* each : {&idle, &busy}) {
    for (const size_t i : *each) {
      most += seats[i].share;
    }
  }
  if (most < need.least) {
    out.kind = Kind::refuse;
    out.available = most;
    return out;
  }
  out.evict = take_until(seats, idle, target, bytes);
  out.drain = take_until(seats, busy, target, bytes);
  const bool stuck = out.evict.empty() && out.drain.empty() && !moving;
  out.kind = stuck ? Kind::load : Kind::wait;
  return out;
}

uint64_t memory_share(
    std::span<const Seat> seats, size_t wanted, uint64_t room) {
  const MemoryNeed& need = seats[wanted].need;
  const uint64_t free = less(room, held(seats, wanted));
  if (free < need.least) {
    return 0;
  }
  if (free <= need.good) {
    return free;
  }
  uint64_t spare = free - need.good;
  uint64_t parts = 1;
  for (size_t i = 0; i < seats.size(); ++i) {
    const Seat& seat = seats[i];
    if (i != wanted && seat.expected && seat.phase == Seat::Phase::out &&
        seat.need.good <= spare) {
      spare -= seat.need.good;
      ++parts;
    }
  }
  return need.good + spare / parts;
}

}  // namespace rapid
