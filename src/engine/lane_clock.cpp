#include "engine/lane_clock.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/fnv.h"

namespace rapid {

void LaneClock::enter(const std::string& lane) {
  Lane& entry = lanes_[lane];
  if (entry.requests++ == 0) {
    entry.time = std::max(entry.time, now_);
  }
}

void LaneClock::leave(const std::string& lane) {
  const auto found = lanes_.find(lane);
  if (found != lanes_.end()) {
    --found->second.requests;
  }
  // Who is not ahead of the others is as good as new.
  std::erase_if(lanes_, [this](const auto& each) {
    return each.second.requests <= 0 && each.second.time <= now_;
  });
}

void LaneClock::charge(const std::string& lane, double work) {
  const auto found = lanes_.find(lane);
  if (found == lanes_.end()) {
    return;
  }
  now_ = std::max(now_, found->second.time);
  found->second.time += work;
}

double LaneClock::at(const std::string& lane) const {
  const auto found = lanes_.find(lane);
  return found == lanes_.end() ? now_ : found->second.time;
}

std::string prompt_lane(std::span<const int32_t> prompt) {
  constexpr size_t kTokens = 256;
  Fnv1a hash;
  hash.add(prompt.first(std::min(prompt.size(), kTokens)));
  return fmt::format("{:016x}", hash.value());
}

}  // namespace rapid
