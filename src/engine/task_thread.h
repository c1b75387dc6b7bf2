// One thread that runs tasks in order; it starts with the first one. Tasks
// must not throw. The destructor waits for the one that runs and drops the
// others.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "base/queue.h"

namespace rapid {

class TaskThread {
 public:
  TaskThread() = default;
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;
  ~TaskThread() {
    stop_ = true;
    tasks_.close();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  // Any thread.
  void push(std::function<void()> task) {
    std::call_once(started_, [this] {
      thread_ = std::thread([this] {
        while (auto next = tasks_.pop()) {
          if (!stop_) {
            (*next)();
          }
        }
      });
    });
    tasks_.push(std::move(task));
  }

 private:
  std::atomic<bool> stop_ = false;
  Queue<std::function<void()>> tasks_;
  std::once_flag started_;
  std::thread thread_;
};

}  // namespace rapid
