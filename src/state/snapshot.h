// StateSnapshot: an immutable copy of what one layer remembers at one token.
// All that the cache and the disk tier see of a model's state; free of MLX.
//
// Invariants: a snapshot never changes. Copying or trimming one shares its
// pages. A snapshot at length n rewinds to any length in [rewind_floor(), n]:
// full keys and values to any token (floor 0), a sliding window as far as its
// pages are held, a recurrent state only to where it was taken (floor n) or as
// far as its tape reaches. Nobody asks which kind it is.
//
// On disk a snapshot is a list of units. A unit's bytes depend on the tokens
// [0, end) alone (law 3), so two snapshots with these tokens in common share
// the unit.
//
// Threads: everything happens on the engine thread, on evaluated state. The
// bytes of a unit may be read by another thread for as long as `keep` is held;
// the last `keep` must be dropped on the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace rapid {

struct StateUnit {
  std::string name;            // of the tensor within the layer
  int first = 0;               // the tokens that it tells of, in whole:
  int end = 0;                 // [first, end)
  std::string dtype;           // as safetensors writes it: F32, BF16, U8
  std::vector<int64_t> shape;  // row-contiguous
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keep;
};

// The identity of a piece of storage that snapshots may share, and its size.
using PageVisitor = std::function<void(const void* id, size_t bytes)>;

class StateSnapshot {
 public:
  virtual ~StateSnapshot() = default;
  virtual int length() const = 0;
  virtual size_t bytes() const = 0;  // held here, shared pages included

  // The smallest length above 0 that it can be trimmed to.
  virtual int rewind_floor() const = 0;
  // Null when `length` is outside [rewind_floor(), length()].
  virtual std::shared_ptr<const StateSnapshot> trimmed(int length) const = 0;
  // The same state, holding the other's pages wherever both tell of the same
  // whole page of the first `tokens` tokens, which they have in common. Null:
  // there is nothing to share.
  virtual std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot& other, int tokens) const = 0;

  // Every page held, each once.
  virtual void visit_pages(const PageVisitor& visit) const = 0;

  // What it is and its geometry, in words; units of another kind don't fit.
  virtual std::string kind() const = 0;
  virtual std::vector<StateUnit> units() const = 0;
};

// One per layer, all of the same length.
using SnapshotSet = std::vector<std::shared_ptr<const StateSnapshot>>;

// Makes a snapshot from units that were saved from one of the same kind.
class SnapshotBuilder {
 public:
  virtual ~SnapshotBuilder() = default;
  // Copies the bytes. `corrupt`: not a unit of this kind.
  virtual Status add(const StateUnit& unit) = 0;
  // The state at `length`, which must be one that the saved snapshot could be
  // trimmed to; units that begin at or behind it are not needed. `corrupt`:
  // a unit is missing.
  virtual Result<std::shared_ptr<const StateSnapshot>> finish(int length) = 0;
};

}  // namespace rapid
