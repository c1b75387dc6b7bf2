#include "engine/worker_engine.h"

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/platform.h"
#include "engine/worker_supervisor.h"

namespace rapid {
namespace {

// For the worker to answer with its newest numbers.
constexpr auto kFreshStats = std::chrono::milliseconds(100);
EngineOptions beside_this_process(EngineOptions options) {
  if (options.front_bytes == 0) {
    options.front_bytes = front_bytes_now() + kFrontGrowth;
  }
  return options;
}

class WorkerEngine final : public Engine {
 public:
  WorkerEngine(const EngineOptions& options, WorkerSettings settings)
      : supervisor_(beside_this_process(options), std::move(settings), board_) {
  }

  ~WorkerEngine() override {
    board_.stop = true;
    supervisor_.wake();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  Status start() {
    std::promise<Status> ready;
    std::future<Status> result = ready.get_future();
    // The thread owns the promise: who waits may be gone before it is through.
    thread_ = std::thread([this, ready = std::move(ready)]() mutable {
      Status status = supervisor_.start();
      const bool loaded = static_cast<bool>(status);
      ready.set_value(std::move(status));
      if (loaded) {
        supervisor_.run();
      }
    });
    return result.get();
  }

  const EngineInfo& info() const override { return supervisor_.info(); }

  RequestId submit(GenerateRequest request, EngineSink sink) override {
    std::lock_guard lock(board_.mutex);
    const RequestId id = ++last_id_;
    board_.orders.push_back(
        SubmitOrder{id, std::move(request), std::move(sink)});
    supervisor_.wake();
    return id;
  }

  void cancel(RequestId id, int choice) override {
    std::lock_guard lock(board_.mutex);
    board_.orders.push_back(CancelOrder{id, choice});
    supervisor_.wake();
  }

  void clear_cache() override {
    std::lock_guard lock(board_.mutex);
    board_.orders.push_back(ClearOrder{});
    supervisor_.wake();
  }

  EngineStats stats() const override {
    std::unique_lock lock(board_.mutex);
    const uint64_t number = ++board_.pings_wanted;
    supervisor_.wake();
    board_.changed.wait_for(lock, kFreshStats, [&] {
      return board_.pings_seen >= number || !board_.serving;
    });
    EngineStats out = board_.stats;
    for (const EngineOrder& order : board_.orders) {
      out.waiting += std::holds_alternative<SubmitOrder>(order) ? 1 : 0;
    }
    out.last_progress_seconds = now_seconds() - board_.last_progress;
    out.resident_bytes += front_bytes_now();
    out.peak_bytes += front_bytes_now();
    return out;
  }

 private:
  mutable WorkerBoard board_;
  Supervisor supervisor_;
  RequestId last_id_ = 0;
  std::thread thread_;
};

}  // namespace

uint64_t front_bytes_now() {
  const size_t all = current_rss_bytes();
  return all - std::min(file_rss_bytes(), all);
}

Result<std::unique_ptr<Engine>> start_worker_engine(
    const EngineOptions& options, WorkerSettings settings) {
  auto engine = std::make_unique<WorkerEngine>(options, std::move(settings));
  RAPID_CHECK(engine->start());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace rapid
