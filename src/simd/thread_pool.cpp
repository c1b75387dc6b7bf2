#include "simd/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace rapid {

namespace {

constexpr auto kSpin = std::chrono::microseconds(50);

// Calls `done` until it is true or `limit` has passed.
template <typename F>
bool spin_until(F done, std::chrono::steady_clock::duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < 256; ++i) {
      if (done()) {
        return true;
      }
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

// A worker joins a loop by counting itself into `joined` and then looking
// whether the loop is still open; the caller closes the loop and waits for
// those inside. So a worker that sleeps on delays nobody.
struct ThreadPool::Impl {
  std::vector<std::thread> workers;
  std::atomic<uint64_t> open{0};  // number of the loop, 0 = none
  std::atomic<int> joined{0};
  std::atomic<int> next{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  uint64_t loops = 0;
  int count = 0;
  int piece = 1;
  const std::function<void(int, int)>* body = nullptr;
  std::mutex mutex;
  std::condition_variable wake;
  std::mutex turn;  // of those who call run()

  void work() {
    for (;;) {
      const int begin = next.fetch_add(piece, std::memory_order_relaxed);
      if (begin >= count) {
        return;
      }
      (*body)(begin, std::min(begin + piece, count));
    }
  }

  void worker() {
    uint64_t last = 0;
    const auto ready = [&] {
      const uint64_t now = open.load();
      return stop.load() || (now != 0 && now != last);
    };
    while (!stop.load()) {
      if (!spin_until(ready, kSpin)) {
        std::unique_lock lock(mutex);
        sleepers.fetch_add(1);
        wake.wait(lock, ready);
        sleepers.fetch_sub(1);
      }
      joined.fetch_add(1);
      if (const uint64_t now = open.load(); now != 0 && now != last) {
        last = now;
        work();
      }
      joined.fetch_sub(1);
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  for (int i = 1; i < threads; ++i) {
    impl_->workers.emplace_back([this] { impl_->worker(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  for (std::thread& worker : impl_->workers) {
    worker.join();
  }
}

int ThreadPool::threads() const {
  return static_cast<int>(impl_->workers.size()) + 1;
}

void ThreadPool::run(
    int count, int grain, const std::function<void(int, int)>& body) {
  if (count <= 0) {
    return;
  }
  Impl& pool = *impl_;
  if (pool.workers.empty() || count <= grain) {
    body(0, count);
    return;
  }
  const std::lock_guard turn(pool.turn);
  // A few pieces per thread even out cores of unequal speed.
  const int even = (count + threads() * 4 - 1) / (threads() * 4);
  pool.piece = std::max({1, grain, even});
  pool.count = count;
  pool.body = &body;
  pool.next.store(0, std::memory_order_relaxed);
  pool.open.store(++pool.loops);
  if (pool.sleepers.load() > 0) {
    const std::lock_guard lock(pool.mutex);
    pool.wake.notify_all();
  }
  pool.work();
  pool.open.store(0);
  while (pool.joined.load() != 0) {
    spin_until([&] { return pool.joined.load() == 0; }, kSpin);
  }
}

namespace {

std::unique_ptr<ThreadPool>& global_pool() {
  static std::unique_ptr<ThreadPool> pool;
  return pool;
}

}  // namespace

ThreadPool& ThreadPool::global() {
  if (!global_pool()) {
    set_global_threads(0);
  }
  return *global_pool();
}

void ThreadPool::set_global_threads(int threads) {
  const int all =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  global_pool() = std::make_unique<ThreadPool>(threads > 0 ? threads : all);
}

}  // namespace rapid
