#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/table.h"

namespace rapid {

namespace {

constexpr double kRateWindow = 5;  // seconds
constexpr double kTerminalEvery = 0.1;
constexpr double kPlainEvery = 3;

size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 80;
}

}  // namespace

std::string progress_line(const ProgressState& state, size_t width) {
  std::string tail = human_bytes(state.done);
  double fraction = 0;
  if (state.total > 0) {
    fraction = std::min(1.0, double(state.done) / double(state.total));
    tail = fmt::format(
        "{:3.0f} %  {} of {}",
        std::floor(fraction * 100),
        tail,
        human_bytes(state.total));
  }
  if (state.rate > 0) {
    tail += fmt::format("  {}/s", human_bytes(uint64_t(state.rate)));
    if (state.total > state.done) {
      const double left = double(state.total - state.done) / state.rate;
      tail += fmt::format("  {} left", human_seconds(std::max(1.0, left)));
    }
  }
  std::string line = state.what + "  ";
  const size_t used = line.size() + tail.size() + 4;
  if (state.total > 0 && used + 10 <= width) {
    const size_t cells = std::min<size_t>(30, width - used);
    const auto full = static_cast<size_t>(fraction * double(cells));
    line +=
        "[" + std::string(full, '=') + std::string(cells - full, ' ') + "]  ";
  }
  line += tail;
  line = line.substr(0, width);
  return line.substr(0, utf8_complete_prefix(line));
}

ProgressPrinter::ProgressPrinter(bool quiet)
    : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressPrinter::~ProgressPrinter() {
  end_line();
}

void ProgressPrinter::measure(double now, uint64_t done) {
  if (!samples_.empty() && done < samples_.back().second) {
    samples_.clear();  // another try began
  }
  samples_.emplace_back(now, done);
  while (samples_.size() > 2 && now - samples_.front().first > kRateWindow) {
    samples_.pop_front();
  }
  const double seconds = now - samples_.front().first;
  state_.rate = seconds > 0.5 ? double(done - samples_.front().second) / seconds
                              : state_.rate;
}

void ProgressPrinter::update(
    const std::string& what, uint64_t done, uint64_t total) {
  if (quiet_) {
    return;
  }
  const double now = now_seconds();
  const bool fresh = what != state_.what;
  if (fresh) {
    end_line();
    samples_.clear();
    state_ = {.what = what};
  }
  const bool end = total > 0 && done >= total && state_.done < total;
  if (!fresh && !end &&
      now - last_print_ < (terminal_ ? kTerminalEvery : kPlainEvery)) {
    return;
  }
  measure(now, done);
  state_.done = done;
  state_.total = total;
  last_print_ = now;
  if (terminal_) {
    // \033[K clears what a longer line before left behind.
    fmt::print(
        stderr, "\r{}\033[K", progress_line(state_, terminal_width() - 1));
    open_line_ = true;
  } else {
    fmt::print(stderr, "{}\n", progress_line(state_, 120));
  }
  std::fflush(stderr);
}

void ProgressPrinter::note(const std::string& text) {
  if (!quiet_) {
    end_line();
    fmt::print(stderr, "{}\n", text);
  }
}

void ProgressPrinter::end_line() {
  if (open_line_) {
    std::fputc('\n', stderr);
    open_line_ = false;
  }
}

}  // namespace rapid
