#include "cache/write_behind.h"

#include <utility>

namespace rapid {

WriteBehind::~WriteBehind() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

void WriteBehind::push(std::function<void()> write) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.size() < kMost; });
  waiting_.push_back(std::move(write));
  ++pushed_;
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { run(); });
  }
  changed_.notify_all();
}

void WriteBehind::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this, all = pushed_] { return done_ >= all; });
}

void WriteBehind::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) {
      return;
    }
    auto write = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    write();
    write = nullptr;
    lock.lock();
    ++done_;
    changed_.notify_all();
  }
}

}  // namespace rapid
