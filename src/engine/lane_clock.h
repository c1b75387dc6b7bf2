// LaneClock: whose turn it is. Each lane (an agent, a session) has a clock
// that runs with the work done for it; the lane whose clock is behind goes
// first. A lane that was idle starts at the time of those that are served: it
// has saved nothing up (start-time fair queueing, Goyal et al. 1996). One
// thread.
//
//   clock.enter(lane);             // a request of it arrives
//   ... the lane with the least clock.at(lane) goes, and then
//   clock.charge(lane, tokens);
//   clock.leave(lane);             // the request has ended
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace rapid {

class LaneClock {
 public:
  void enter(const std::string& lane);
  void leave(const std::string& lane);
  void charge(const std::string& lane, double work);
  double at(const std::string& lane) const;

 private:
  struct Lane {
    double time = 0;
    int requests = 0;
  };
  std::map<std::string, Lane> lanes_;  // with requests, or ahead of now_
  double now_ = 0;                     // the clock of who was served last
};

// Who names no lane is known by the beginning of the prompt.
std::string prompt_lane(std::span<const int32_t> prompt);

}  // namespace rapid
