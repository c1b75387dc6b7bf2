#include "api/background.h"

#include <utility>

namespace rapid {

Background::~Background() {
  stop_ = true;
  for (Task& task : tasks_) {
    task.thread.join();
  }
}

void Background::run(Work work) {
  std::lock_guard lock(mutex_);
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    if (it->ended) {
      it->thread.join();
      it = tasks_.erase(it);
    } else {
      ++it;
    }
  }
  Task& task = tasks_.emplace_back();
  task.thread = std::thread([this, &task, work = std::move(work)]() mutable {
    work(stop_);
    work = nullptr;  // what it holds goes now, not when it is joined
    task.ended = true;
  });
}

}  // namespace rapid
