// One thread that runs tasks in order; it starts with the first one. Tasks
// must not throw. The destructor waits for what was pushed.
#pragma once

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
          (*next)();
        }
      });
    });
    tasks_.push(std::move(task));
  }

 private:
  Queue<std::function<void()>> tasks_;
  std::once_flag started_;
  std::thread thread_;
};

}  // namespace rapid
