// Ctrl-C (and SIGTERM, where asked for) as a count that code can poll.
//
// While one lives the signals no longer end the process: the first is for the
// program to act on, the second one ends it at once with exit code 1. reset()
// starts counting anew. One at a time; make it on the main thread. Blocking
// system calls return EINTR. The callback runs on a thread of its own.
//
//   Interrupts interrupts;
//   while (!interrupts.count()) { ... }
#pragma once

#include <functional>
#include <thread>

namespace rapid {

class Interrupts {
 public:
  enum class Watch { interrupt, interrupt_and_terminate };

  explicit Interrupts(
      Watch watch = Watch::interrupt_and_terminate,
      std::function<void()> on_first = {});
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  int count() const;
  void reset();

 private:
  void watch_pipe(int fd) const;

  bool terminate_;
  std::function<void()> on_first_;
  std::thread watcher_;
};

}  // namespace rapid
