// Background: work that outlives the handler that began it, such as a
// download. Its end is waited for when this is destroyed; until then the work
// is asked to stop.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace rapid {

class Background {
 public:
  Background() = default;
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // On a thread of its own. `work` polls `stop` and must not throw.
  using Work = std::function<void(const std::atomic<bool>& stop)>;
  void run(Work work);

 private:
  struct Task {
    std::atomic<bool> ended = false;
    std::thread thread;
  };

  std::mutex mutex_;
  std::atomic<bool> stop_ = false;
  std::list<Task> tasks_;
};

}  // namespace rapid
