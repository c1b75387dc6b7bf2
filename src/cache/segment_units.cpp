#include "cache/segment_units.h"

#include <algorithm>
#include <utility>

namespace rapid {

SegmentUnits::Key SegmentUnits::key_of(const LayerUnit& unit) {
  auto name = std::ranges::find(names_, unit.unit.name);
  if (name == names_.end()) {
    name = names_.insert(names_.end(), unit.unit.name);
  }
  return {
      unit.layer,
      static_cast<int>(name - names_.begin()),
      unit.unit.first,
      unit.unit.end};
}

const SegmentUnits::Keys* SegmentUnits::find(int64_t segment) const {
  const auto found = segments_.find(segment);
  return found == segments_.end() ? nullptr : &found->second;
}

const SegmentUnits::Keys& SegmentUnits::put(
    int64_t segment, std::span<const LayerUnit> units) {
  forget(segment);
  if (total_ + units.size() > kMostKeys) {
    clear();
  }
  Keys keys;
  keys.reserve(units.size());
  for (const LayerUnit& unit : units) {
    keys.push_back(key_of(unit));
  }
  std::ranges::sort(keys);
  total_ += keys.size();
  return segments_[segment] = std::move(keys);
}

void SegmentUnits::forget(int64_t segment) {
  const auto found = segments_.find(segment);
  if (found != segments_.end()) {
    total_ -= found->second.size();
    segments_.erase(found);
  }
}

void SegmentUnits::clear() {
  segments_.clear();
  total_ = 0;
}

}  // namespace rapid
