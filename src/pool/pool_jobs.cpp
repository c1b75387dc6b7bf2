// What a ModelPool does on threads of their own: fetch, load, unload.
#include <algorithm>
#include <exception>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/platform.h"
#include "pool/pool_entry.h"

namespace rapid {
namespace {

template <typename Work>
auto guarded(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& e) {
    return Error{ErrorCode::internal, e.what()};
  }
}

// Files that are no model are nobody's bug here.
Error load_error(Error error) {
  if (error.code == ErrorCode::corrupt) {
    error.code = ErrorCode::unsupported;
  }
  return error;
}

void add(EngineStats& sum, const EngineStats& more) {
  sum.parked += more.parked;
  sum.prompt_tokens += more.prompt_tokens;
  sum.cached_tokens += more.cached_tokens;
  sum.generated_tokens += more.generated_tokens;
  sum.drafted_tokens += more.drafted_tokens;
  sum.accepted_tokens += more.accepted_tokens;
  sum.evicted_prompts += more.evicted_prompts;
  sum.restarts += more.restarts;
}

void add(FrontStats& sum, const FrontStats& more) {
  sum.redecoded += more.redecoded;
  sum.not_redecoded += more.not_redecoded;
  sum.strict += more.strict;
  sum.loops_broken += more.loops_broken;
  sum.thoughts_closed += more.thoughts_closed;
}

}  // namespace

// Under the lock.
void ModelPool::begin(
    const Entry& entry, void (ModelPool::*job)(const Entry&)) {
  if (job == &ModelPool::load_job) {
    entry->phase = Seat::Phase::arriving;
    entry->loading_since = now_seconds();
    entry->doing = "loading";
  } else if (job == &ModelPool::leave_job) {
    entry->phase = Seat::Phase::leaving;
  } else if (job == &ModelPool::fetch_job) {
    entry->doing = "fetching";
  }
  entry->job_done = false;
  entry->job = std::thread([this, entry, job] {
    (this->*job)(entry);
    std::lock_guard lock(mutex_);
    entry->job_done = true;
    wake();
  });
}

void ModelPool::fetch_job(const Entry& entry) {
  Lock lock(mutex_);
  const ModelNames names = entry->names;
  lock.unlock();
  const auto tell = [&](const std::string& doing) {
    std::lock_guard guard(mutex_);
    entry->doing = doing;
    wake();
  };
  const auto fetched = guarded([&] { return provider_->fetch(names, tell); });
  const uint64_t weights = fetched ? provider_->weight_bytes(*fetched) : 0;
  Calls calls;
  lock.lock();
  if (fetched) {
    entry->names.path = entry->card.path = fetched->path;
    entry->weights = weights;
    entry->fetched = true;
  } else {
    fail(*entry, load_error(fetched.error()), calls);
  }
  lock.unlock();
  for (const auto& call : calls) {
    call();
  }
}

void ModelPool::load_job(const Entry& entry) {
  Lock lock(mutex_);
  const ModelNames names = entry->names;
  lock.unlock();
  const uint64_t front = provider_->front_bytes();
  const auto tell = [&](const std::string& doing) {
    std::lock_guard guard(mutex_);
    entry->doing = doing;
    wake();
  };
  const auto room = [&](uint64_t now) -> Result<uint64_t> {
    {
      std::lock_guard guard(mutex_);
      entry->text = now - std::min(front, now);
    }
    return budget(entry, now);
  };
  auto backend = guarded([&] { return provider_->load(names, room, tell); });
  if (backend) {
    return loaded(entry, *std::move(backend));
  }
  Calls calls;
  lock.lock();
  if (!ask_for_more(*entry, backend.error())) {
    fail(*entry, load_error(backend.error()), calls);
  }
  entry->phase = Seat::Phase::out;
  entry->share = 0;
  lock.unlock();
  for (const auto& call : calls) {
    call();
  }
}

// The guess of its need was too low, and there is more to be had: it is seated
// again, or refused when nobody can go.
bool ModelPool::ask_for_more(PoolEntry& entry, const Error& error) {
  if (error.code != ErrorCode::too_large || entry.share >= entry.most) {
    return false;
  }
  const uint64_t had = std::max(entry.share, need_of(entry).least);
  entry.at_least = had + had / 8;
  entry.too_little = error;
  entry.if_fits = false;
  return true;
}

// The share it was let in with was a guess; this is what it gets.
Result<uint64_t> ModelPool::budget(const Entry& entry, uint64_t front_bytes) {
  std::lock_guard lock(mutex_);
  const auto all = seats();
  const auto at = static_cast<size_t>(
      std::ranges::find(entries_, entry) - entries_.begin());
  entry->most = room(front_bytes);
  const uint64_t share = memory_share(all, at, entry->most);
  if (share == 0) {
    uint64_t held = 0;
    for (const Seat& seat : all) {
      held += &seat == &all[at] ? 0 : seat.share;
    }
    return no_room(*entry, entry->most - std::min(held, entry->most));
  }
  entry->share = share;
  return share;
}

void ModelPool::loaded(const Entry& entry, std::shared_ptr<Backend> backend) {
  ModelCard card = backend->card();
  std::vector<LoadDone> waiters;
  {
    std::lock_guard lock(mutex_);
    entry->backend = std::move(backend);
    entry->card = std::move(card);
    entry->known = true;
    entry->phase = Seat::Phase::in;
    entry->failure.reset();
    entry->too_little.reset();
    entry->must = entry->if_fits = false;
    entry->doing.clear();
    entry->told.clear();
    entry->last_used = now_seconds();
    ++entry->loads;
    waiters.swap(entry->load_waiters);
  }
  serve_waiting(entry);
  for (const LoadDone& done : waiters) {
    done(status_of(entry));
  }
}

// All that wait now, in their order; those that come meanwhile, too.
void ModelPool::serve_waiting(const Entry& entry) {
  const auto held = lease(entry);
  if (held == nullptr) {
    return;
  }
  Lock lock(mutex_);
  if (std::exchange(entry->forget, false)) {
    lock.unlock();
    (*held)->clear_cache();
    lock.lock();
  }
  while (!entry->waiting.empty() && !stop_) {
    const Request request = std::move(entry->waiting.front());
    entry->waiting.pop_front();
    request->counted = true;
    ++entry->uses;
    lock.unlock();
    (void)forward(entry, request, request->asked, true);
    lock.lock();
  }
}

void ModelPool::serve_job(const Entry& entry) {
  serve_waiting(entry);
}

void ModelPool::leave_job(const Entry& entry) {
  Lock lock(mutex_);
  std::shared_ptr<Backend> backend = std::move(entry->backend);
  lock.unlock();
  const EngineStats stats = backend->stats();
  const FrontStats front = backend->front_stats();
  backend.reset();  // ends the worker
  release_free_memory();
  std::vector<LoadDone> waiters;
  lock.lock();
  add(entry->past, stats);
  add(entry->past_front, front);
  entry->phase = Seat::Phase::out;
  entry->share = 0;
  entry->unload = false;
  entry->draining = false;
  waiters.swap(entry->unload_waiters);
  lock.unlock();
  spdlog::info("{} is unloaded", entry->id());
  for (const LoadDone& done : waiters) {
    done(status_of(entry));
  }
}

void ModelPool::forget_job(const Entry& entry) {
  Lock lock(mutex_);
  const ModelNames names = entry->names;
  lock.unlock();
  (void)guarded([&]() -> Status {
    provider_->forget(names);
    return {};
  });
  lock.lock();
  entry->forget = false;
}

}  // namespace rapid
