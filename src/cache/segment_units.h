// Which units the files of the disk tier hold, so that what is on disk already
// is not written again. Small and bounded: a long prompt has tens of thousands
// of units, a disk thousands of prompts; what is forgotten is read again from
// the files' headers.
//
// Threads: none of its own, the caller's lock.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cache/segment_file.h"

namespace rapid {

class SegmentUnits {
 public:
  struct Key {
    int layer = 0;
    int name = 0;  // numbered here
    int first = 0;
    int end = 0;
    auto operator<=>(const Key&) const = default;
  };
  using Keys = std::vector<Key>;  // sorted

  // Valid until the next put(), forget() or clear(); null: not known (any
  // more).
  const Keys* find(int64_t segment) const;
  const Keys& put(int64_t segment, std::span<const LayerUnit> units);
  void forget(int64_t segment);
  void clear();

  Key key_of(const LayerUnit& unit);
  size_t keys() const { return total_; }

  // Over all segments; one with more is kept until the next comes. 4 MiB.
  static constexpr size_t kMostKeys = 1 << 18;

 private:
  std::map<int64_t, Keys> segments_;
  std::vector<std::string> names_;
  size_t total_ = 0;
};

}  // namespace rapid
