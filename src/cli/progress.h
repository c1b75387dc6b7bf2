// How far a download is: one line redrawn on a terminal, else a plain line
// every few seconds. Writes to stderr only.
//
// The rate is that of the last few seconds, so that the estimate follows the
// connection. Not thread-safe; update() may be called as often as one likes.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

namespace rapid {

struct ProgressState {
  std::string what;
  uint64_t done = 0;
  uint64_t total = 0;  // 0 = unknown
  double rate = 0;     // bytes a second, 0 = unknown
};

// One line of at most `width` characters, no line end. Pure.
std::string progress_line(const ProgressState& state, size_t width);

class ProgressPrinter {
 public:
  // quiet: prints nothing at all.
  explicit ProgressPrinter(bool quiet);
  ~ProgressPrinter();  // ends an open line

  void update(const std::string& what, uint64_t done, uint64_t total);
  void note(const std::string& text);  // a whole line of its own

 private:
  void measure(double now, uint64_t done);
  void end_line();

  bool quiet_;
  bool terminal_;
  bool open_line_ = false;
  double last_print_ = -1e9;
  ProgressState state_;
  std::deque<std::pair<double, uint64_t>> samples_;  // (time, done)
};

}  // namespace rapid
