// WriteBehind: writes to a slow disk, in order, on a thread of its own, so that
// who has something to write need not wait. Readers wait for what was pushed
// before them. The destructor does what is left.
//
// Threads: any. Writes must not throw, nor wait for others.
//
//   writes.push([this, row] { insert(row); });
//   writes.wait();  // before a read
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace rapid {

class WriteBehind {
 public:
  WriteBehind() = default;
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // Returns at once, unless kMost wait: memory is bounded.
  void push(std::function<void()> write);
  void wait();

  static constexpr size_t kMost = 256;

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  uint64_t pushed_ = 0;
  uint64_t done_ = 0;
  bool ending_ = false;
  std::thread thread_;  // begins with the first write
};

}  // namespace rapid
