// Steady time in seconds, for durations; never for dates.
#pragma once

#include <chrono>

namespace rapid {

inline double now_seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace rapid
