// The thread of a ModelPool that decides. It holds the lock but for waiting,
// joining, and calling those who wait.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "pool/pool_entry.h"

namespace rapid {
namespace {

constexpr double kMiB = 1 << 20;
constexpr double kNever = 3600;  // seconds; news end a wait
constexpr double kTick = 0.25;   // while someone waits for time to pass

void send_note(PoolRequest& request, const std::string& text) {
  std::lock_guard lock(request.mutex);
  if (!request.over && request.backend == nullptr && request.sink) {
    request.sink(chat::Progress{.waiting_for = text});
  }
}

void send_failure(PoolRequest& request, const Error& error) {
  std::lock_guard lock(request.mutex);
  if (!std::exchange(request.over, true) && request.sink) {
    request.sink(chat::Failed{error});
  }
  request.sink = nullptr;
}

}  // namespace

void ModelPool::run() {
  Lock lock(mutex_);
  while (!stop_) {
    reap(lock);
    Calls calls;
    const double now = now_seconds();
    expire(now, calls);
    leave_idle(now);
    seat_waiting(now, calls);
    serve_held_back();
    tell_waiting(now, calls);
    if (!calls.empty()) {
      lock.unlock();
      for (const auto& call : calls) {
        call();
      }
      calls.clear();
      lock.lock();
      continue;
    }
    const std::chrono::duration<double> wait(next_wake(now));
    changed_.wait_for(lock, wait, [&] { return stop_ || news_; });
    news_ = false;
  }
}

// Joins threads that are done, and forgets models that are gone.
void ModelPool::reap(Lock& lock) {
  std::vector<std::thread> done;
  for (const Entry& entry : entries_) {
    if (entry->working() && entry->job_done) {
      done.push_back(std::move(entry->job));
    }
  }
  if (!done.empty()) {
    lock.unlock();
    for (std::thread& thread : done) {
      thread.join();
    }
    lock.lock();
  }
  const double before = now_seconds() - settings_.failure_seconds;
  std::erase_if(entries_, [before](const Entry& entry) {
    return entry->gone(before) && !entry->working();
  });
}

// Requests that have waited too long.
void ModelPool::expire(double now, Calls& calls) {
  for (const Entry& entry : entries_) {
    while (!entry->waiting.empty() &&
           now - entry->waiting.front()->since >= settings_.most_wait_seconds) {
      const Request request = std::move(entry->waiting.front());
      entry->waiting.pop_front();
      entry->open.erase(request->ticket);
      const Error error{
          ErrorCode::busy,
          fmt::format(
              "{} was not in memory within {:.0f} seconds ({})",
              entry->id(),
              settings_.most_wait_seconds,
              entry->doing),
          "try again later"};
      calls.push_back([request, error] { send_failure(*request, error); });
    }
  }
}

// Unloads what nobody uses and nobody shall.
void ModelPool::leave_idle(double now) {
  for (const Entry& entry : entries_) {
    if (entry->phase != Seat::Phase::in || entry->uses > 0 ||
        entry->working()) {
      continue;
    }
    const bool old = entry->ttl > 0 && !entry->pinned &&
                     entry->waiting.empty() &&
                     now - entry->last_used >= entry->ttl;
    if (entry->unload || old) {
      begin(entry, &ModelPool::leave_job);
    }
  }
}

MemoryNeed ModelPool::need_of(const PoolEntry& entry) {
  const MemoryFacts& facts = entry.card.memory;
  MemoryNeed need = memory_need(
      entry.weights,
      facts.layers > 0 ? std::optional(facts) : std::nullopt,
      entry.text);
  need.least = std::max(need.least, entry.at_least);
  need.good = std::max(need.good, need.least);
  return need;
}

std::vector<Seat> ModelPool::seats() const {
  std::vector<Seat> out;
  for (const Entry& entry : entries_) {
    out.push_back(
        {.need = need_of(*entry),
         .share = entry->share,
         .phase = entry->phase,
         .pinned = entry->pinned,
         .busy = entry->uses > 0 || entry->working(),
         .expected = entry->weights > 0 && !entry->failure &&
                     (!entry->extra || entry->wanted()),
         .last_used = entry->last_used});
  }
  return out;
}

uint64_t ModelPool::room(uint64_t front_bytes) const {
  const uint64_t front = front_bytes + settings_.front_growth;
  return settings_.memory_limit - std::min(front, settings_.memory_limit);
}

Error ModelPool::no_room(const PoolEntry& entry, uint64_t available) const {
  if (entry.too_little) {
    return *entry.too_little;  // the engine knows better what it needs
  }
  const Status alone = check_weights_fit(entry.weights, settings_.memory_limit);
  if (!alone) {
    return alone.error();
  }
  uint64_t pinned = 0;
  for (const Entry& each : entries_) {
    pinned += each->pinned ? each->share : 0;
  }
  const MemoryNeed need = need_of(entry);
  return {
      ErrorCode::too_large,
      fmt::format(
          "{} needs {:.0f} MiB or more, {:.0f} MiB are available: the memory "
          "limit is {:.0f} MiB{}",
          entry.id(),
          need.least / kMiB,
          available / kMiB,
          settings_.memory_limit / kMiB,
          pinned > 0 ? fmt::format(", pinned models hold {:.0f}", pinned / kMiB)
                     : ""),
      "take a smaller model, or a larger --memory-limit",
      "model"};
}

// Tells everybody who waits for it, at once.
void ModelPool::fail(PoolEntry& entry, const Error& error, Calls& calls) {
  spdlog::error("{} is not loaded: {}", entry.id(), error.what);
  entry.failure = error;
  entry.failed_at = now_seconds();
  entry.must = entry.if_fits = entry.unload = false;
  entry.doing.clear();
  for (const Request& request : std::exchange(entry.waiting, {})) {
    entry.open.erase(request->ticket);
    calls.push_back([request, error] { send_failure(*request, error); });
  }
  for (auto* waiters : {&entry.load_waiters, &entry.unload_waiters}) {
    for (auto& done : std::exchange(*waiters, {})) {
      calls.push_back([done = std::move(done), error] { done(error); });
    }
  }
}

// The models that are wanted come in, the longest wait first.
void ModelPool::seat_waiting(double now, Calls& calls) {
  std::vector<Entry> wanted;
  bool moving = false;
  for (const Entry& entry : entries_) {
    entry->draining = false;
    moving = moving || entry->working();
    if (entry->phase != Seat::Phase::out || entry->working()) {
      continue;
    }
    if (entry->forget) {
      begin(entry, &ModelPool::forget_job);
    } else if (entry->wanted() && !entry->fetched) {
      begin(entry, &ModelPool::fetch_job);
    } else if (entry->wanted()) {
      wanted.push_back(entry);
    }
  }
  std::ranges::stable_sort(
      wanted, {}, [](const Entry& entry) { return entry->wanted_since; });
  for (const Entry& entry : wanted) {
    if (!seat(entry, now, calls)) {
      return;  // smaller ones must not take what it waits for
    }
  }
  if (wanted.empty() && !moving) {
    seat_if_it_fits();
  }
}

// False: it must wait.
bool ModelPool::seat(const Entry& entry, double now, Calls& calls) {
  const auto all = seats();
  const auto at = static_cast<size_t>(
      std::ranges::find(entries_, entry) - entries_.begin());
  const uint64_t bytes = room(provider_->front_bytes());
  const SeatDecision decision = decide_seat(all, at, bytes);
  switch (decision.kind) {
    case SeatDecision::Kind::load:
      entry->share = std::min(
          decision.available, std::max(all[at].need.good, all[at].need.least));
      begin(entry, &ModelPool::load_job);
      return true;
    case SeatDecision::Kind::refuse:
      fail(*entry, no_room(*entry, decision.available), calls);
      return true;
    case SeatDecision::Kind::wait:
      break;
  }
  entry->doing = "waiting for memory";
  for (const size_t i : decision.evict) {
    spdlog::info("{} gives way to {}", entries_[i]->id(), entry->id());
    begin(entries_[i], &ModelPool::leave_job);
  }
  if (now - entry->wanted_since >= settings_.drain_seconds) {
    for (const size_t i : decision.drain) {
      entries_[i]->draining = true;
    }
  }
  return false;
}

// Those that nobody waits for, one after the other.
void ModelPool::seat_if_it_fits() {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (!entry->if_fits || entry->working() ||
        entry->phase != Seat::Phase::out) {
      continue;
    }
    if (!entry->fetched) {
      return begin(entry, &ModelPool::fetch_job);
    }
    entry->if_fits = false;
    const auto all = seats();
    const uint64_t bytes = room(provider_->front_bytes());
    const auto decision = decide_seat(all, i, bytes);
    if (decision.kind == SeatDecision::Kind::load &&
        decision.available >= all[i].need.good) {
      entry->share = all[i].need.good;
      return begin(entry, &ModelPool::load_job);
    }
    spdlog::info(
        "{} does not fit beside the others: loaded when it is asked for",
        entry->id());
  }
}

// Requests that were held back while the model was to be drained, and need
// not be any more.
void ModelPool::serve_held_back() {
  for (const Entry& entry : entries_) {
    if (entry->takes_requests() && !entry->working() &&
        (!entry->waiting.empty() || entry->forget)) {
      begin(entry, &ModelPool::serve_job);
    }
  }
}

void ModelPool::tell_waiting(double now, Calls& calls) {
  for (const Entry& entry : entries_) {
    if (entry->waiting.empty()) {
      continue;
    }
    std::string text = fmt::format("{}: {}", entry->id(), entry->doing);
    if (entry->phase == Seat::Phase::arriving) {
      text += fmt::format(", {:.0f} s", now - entry->loading_since);
    }
    if (text == entry->told) {
      continue;
    }
    entry->told = text;
    for (const Request& request : entry->waiting) {
      calls.push_back([request, text] { send_note(*request, text); });
    }
  }
}

double ModelPool::next_wake(double now) const {
  double out = kNever;
  for (const Entry& entry : entries_) {
    if (entry->wanted() || entry->draining) {
      out = std::min(out, kTick);
    }
    if (entry->gone(now)) {
      const double left = entry->failed_at + settings_.failure_seconds - now;
      out = std::min(out, std::max(left, 0.01));
    }
    if (entry->phase == Seat::Phase::in && entry->ttl > 0 && !entry->pinned &&
        entry->uses == 0) {
      out = std::min(out, std::max(entry->last_used + entry->ttl - now, 0.01));
    }
  }
  return out;
}

}  // namespace rapid
