#include "engine/worker_host.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/platform.h"
#include "base/queue.h"
#include "engine/wire.h"

namespace rapid {
namespace {

using Seconds = std::chrono::duration<double>;

// Who has nothing to do shall not wake up the machine.
constexpr double kIdleFactor = 8;

class WorkerHost {
 public:
  explicit WorkerHost(WorkerHostOptions options)
      : options_(std::move(options)) {
    if (!options_.cut_off) {
      options_.cut_off = [] { ::_exit(1); };
    }
  }

  bool run() {
    std::thread reader([this] { read(); });
    const bool served = serve();
    {
      std::lock_guard lock(mutex_);
      finished_ = true;
    }
    changed_.notify_all();
    ::shutdown(options_.fd, SHUT_RDWR);
    reader.join();
    ::close(options_.fd);
    return served;
  }

 private:
  // The reader's thread. Behind the end of the stream it is the watchdog.
  void read() {
    WireReader wire;
    std::string buffer(1 << 16, '\0');
    while (take(wire)) {
      const auto got = ::recv(options_.fd, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got <= 0) {
        break;
      }
      wire.feed(std::string_view(buffer.data(), static_cast<size_t>(got)));
    }
    inbox_.close();
    std::unique_lock lock(mutex_);
    // Nothing of worth is lost while it loads.
    const Seconds grace(loaded_ ? options_.grace : 0);
    if (!changed_.wait_for(lock, grace, [this] { return finished_; })) {
      lock.unlock();
      options_.cut_off();
    }
  }

  // False: the other end talks nonsense.
  bool take(WireReader& wire) {
    while (true) {
      auto message = wire.next();
      if (!message) {
        spdlog::error("{}", message.error().what);
        return false;
      }
      if (!*message) {
        return true;
      }
      inbox_.push(std::move(**message));
    }
  }

  void send(const WireMessage& message) {
    const std::string bytes = encode(message);
    std::string_view left = bytes;
    std::lock_guard lock(sending_);
    while (!left.empty()) {
      const long sent = send_quietly(options_.fd, left);
      if (sent < 0 && errno == EINTR) {
        continue;
      }
      if (sent <= 0) {
        return;  // the reader learns it, too
      }
      left.remove_prefix(static_cast<size_t>(sent));
    }
  }

  bool serve() {
    auto first = inbox_.pop();
    const auto* hello = first ? std::get_if<WireHello>(&*first) : nullptr;
    if (hello == nullptr) {
      return false;
    }
    Result<std::unique_ptr<Engine>> made = make(hello->options);
    if (!made) {
      send(WireLoadFailed{made.error()});
      return false;
    }
    engine_ = *std::move(made);
    {
      std::lock_guard lock(mutex_);
      loaded_ = true;
    }
    send(WireReady{engine_->info()});
    std::thread pulse([this] { beat(); });
    while (auto message = inbox_.pop()) {
      std::visit([this](auto& each) { on(each); }, *message);
    }
    {
      std::lock_guard lock(mutex_);
      stop_pulse_ = true;
    }
    changed_.notify_all();
    pulse.join();
    engine_.reset();
    return true;
  }

  Result<std::unique_ptr<Engine>> make(const EngineOptions& options) {
    try {
      return options_.make(options);
    } catch (const std::exception& e) {
      return Error{ErrorCode::internal, e.what()};
    }
  }

  void on(WireSubmit& message) {
    const RequestId id = message.id;
    const RequestId inner = engine_->submit(
        std::move(message.request), [this, id](const EngineEvent& event) {
          send(WireEvent{id, event});
          if (std::holds_alternative<EngineDone>(event) ||
              std::holds_alternative<EngineFailed>(event)) {
            std::lock_guard lock(mutex_);
            if (ids_.erase(id) == 0) {
              early_ = id;  // it ended before submit() had returned
            }
          }
        });
    std::lock_guard lock(mutex_);
    if (early_ != id) {
      ids_[id] = inner;
    }
  }

  void on(WireCancel& message) {
    std::unique_lock lock(mutex_);
    const auto found = ids_.find(message.id);
    if (found != ids_.end()) {
      const RequestId inner = found->second;
      lock.unlock();
      engine_->cancel(inner, message.choice);
    }
  }

  void on(WireClearCache&) { engine_->clear_cache(); }

  void on(WirePing& message) {
    ping_ = message.number;
    send(WirePulse{ping_, engine_->stats()});
  }

  template <typename Other>
  void on(Other&) {
    spdlog::error("a message went the wrong way");
  }

  void beat() {
    std::unique_lock lock(mutex_);
    while (!stop_pulse_) {
      const bool idle = ids_.empty();
      lock.unlock();
      send(WirePulse{ping_, engine_->stats()});
      lock.lock();
      changed_.wait_for(
          lock, Seconds(options_.pulse * (idle ? kIdleFactor : 1)), [this] {
            return stop_pulse_;
          });
    }
  }

  WorkerHostOptions options_;
  Queue<WireMessage> inbox_;
  std::mutex sending_;
  std::unique_ptr<Engine> engine_;
  std::atomic<uint64_t> ping_ = 0;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  bool loaded_ = false;
  bool finished_ = false;
  bool stop_pulse_ = false;
  std::map<RequestId, RequestId> ids_;  // the front's -> the engine's
  RequestId early_ = 0;
};

}  // namespace

bool serve_worker(WorkerHostOptions options) {
  return WorkerHost(std::move(options)).run();
}

}  // namespace rapid
