// Whether the time of a piece of work grows with its size and not with its
// square. Measured as CPU time of the thread, so that a busy machine does not
// count; sixteen times the size may cost 80 times as much (a square: 256).
//
//   EXPECT_TRUE(is_linear([](size_t n) { return std::string(n, 'a'); },
//                         [](const std::string& input) { parse(input); }));
#pragma once

#include <time.h>

#include <algorithm>
#include <cstddef>

namespace rapid {

inline double thread_cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec);
}

// `make(n)` is an input of size n, which `work` takes.
template <typename Make, typename Work>
bool is_linear(Make make, Work work, size_t size = 60'000) {
  const auto cost = [&](const auto& input, int tries) {
    double best = 1e9;
    for (int n = 0; n < tries; ++n) {
      const double begin = thread_cpu_seconds();
      work(input);
      best = std::min(best, thread_cpu_seconds() - begin);
    }
    return best;
  };
  return cost(make(16 * size), 2) < 80 * cost(make(size), 3) + 0.02;
}

}  // namespace rapid
