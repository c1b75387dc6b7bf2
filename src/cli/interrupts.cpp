#include "cli/interrupts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

namespace rapid {

namespace {

// A handler can reach nothing else.
std::atomic<int> signal_count{0};
std::atomic<int> wake_fd{-1};
struct sigaction old_interrupt;
struct sigaction old_terminate;

extern "C" void on_signal(int) {
  const int saved = errno;
  if (signal_count.fetch_add(1) >= 1) {
    ::_exit(1);
  }
  if (const int fd = wake_fd.load(); fd >= 0) {
    const char byte = 1;
    [[maybe_unused]] const auto written = ::write(fd, &byte, 1);
  }
  errno = saved;
}

}  // namespace

Interrupts::Interrupts(Watch watch, std::function<void()> on_first)
    : terminate_(watch == Watch::interrupt_and_terminate),
      on_first_(std::move(on_first)) {
  signal_count = 0;
  if (on_first_) {
    int ends[2];
    if (::pipe(ends) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe");
    }
    ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    wake_fd = ends[1];
    watcher_ = std::thread([this, fd = ends[0]] { watch_pipe(fd); });
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt);
  if (terminate_) {
    ::sigaction(SIGTERM, &action, &old_terminate);
  }
}

Interrupts::~Interrupts() {
  ::sigaction(SIGINT, &old_interrupt, nullptr);
  if (terminate_) {
    ::sigaction(SIGTERM, &old_terminate, nullptr);
  }
  if (watcher_.joinable()) {
    const int fd = wake_fd.exchange(-1);
    const char byte = 0;
    [[maybe_unused]] const auto written = ::write(fd, &byte, 1);
    watcher_.join();
    ::close(fd);
  }
}

void Interrupts::watch_pipe(int fd) const {
  char byte = 0;
  for (;;) {
    const auto got = ::read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got != 1 || byte == 0) {
      break;
    }
    on_first_();
  }
  ::close(fd);
}

int Interrupts::count() const {
  return signal_count.load();
}

void Interrupts::reset() {
  signal_count = 0;
}

}  // namespace rapid
