// The requests of a ModelPool: given to their model's backend, or kept until
// there is one.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "pool/pool_entry.h"

namespace rapid {
namespace {

Error stopping() {
  return {ErrorCode::cancelled, "the server is shutting down"};
}

bool is_last(const chat::Event& event) {
  return std::holds_alternative<chat::Done>(event) ||
         std::holds_alternative<chat::Failed>(event);
}

}  // namespace

Result<Ticket> ModelPool::submit(
    const Entry& entry, const chat::Request& asked, ChatSink sink) {
  const auto request = std::make_shared<PoolRequest>();
  request->sink = std::move(sink);
  request->since = now_seconds();
  std::unique_lock own(request->mutex);
  Lock lock(mutex_);
  if (stop_) {
    return stopping();
  }
  keep(entry);
  request->ticket = ++last_ticket_;
  if (entry->takes_requests()) {
    entry->open[request->ticket] = request;
    request->counted = true;
    ++entry->uses;
    lock.unlock();
    own.unlock();
    return forward(entry, request, asked, false);
  }
  if (entry->failure && entry->phase == Seat::Phase::out &&
      request->since - entry->failed_at < settings_.retry_seconds) {
    return *entry->failure;
  }
  if (entry->waiting.size() >= settings_.most_waiting) {
    return Error{
        ErrorCode::busy,
        fmt::format(
            "{} requests wait for {} already",
            entry->waiting.size(),
            entry->id()),
        "try again later"};
  }
  if (!entry->wanted()) {
    entry->wanted_since = request->since;
  }
  request->asked = asked;
  entry->open[request->ticket] = request;
  entry->waiting.push_back(request);
  const std::string text = fmt::format(
      "{}: {}", entry->id(), entry->doing.empty() ? "waiting" : entry->doing);
  wake();
  lock.unlock();
  // Its own mutex is held: nothing else was said before.
  request->sink(chat::Progress{.waiting_for = text});
  return request->ticket;
}

ChatSink ModelPool::sink_of(const Entry& entry, const Request& request) {
  return [this, entry, request](const chat::Event& event) {
    const bool last = is_last(event);
    {
      std::lock_guard lock(request->mutex);
      if (request->over) {
        return;
      }
      request->over = last;
      request->sink(event);
      if (last) {
        request->sink = nullptr;
      }
    }
    if (last) {
      close(*entry, *request);
    }
  };
}

// The request is counted. Its backend's own errors come back, or go to the
// sink when the caller has `waited`.
Result<Ticket> ModelPool::forward(
    const Entry& entry,
    const Request& request,
    const chat::Request& asked,
    bool waited) {
  // It may be over before submit() has returned.
  const auto held = lease(entry);
  {
    std::lock_guard own(request->mutex);
    if (request->over) {
      close(*entry, *request);
      return request->ticket;
    }
    request->backend = &**held;
  }
  const auto inner = [&]() -> Result<Ticket> {
    try {
      return (*held)->submit(asked, sink_of(entry, request));
    } catch (const std::exception& e) {  // it stays counted otherwise
      return Error{ErrorCode::internal, e.what()};
    }
  }();
  std::unique_lock own(request->mutex);
  if (!inner) {
    if (!std::exchange(request->over, true) && waited) {
      request->sink(chat::Failed{inner.error()});
    }
    request->sink = nullptr;
    own.unlock();
    close(*entry, *request);
    return inner.error();
  }
  request->inner = *inner;
  if (request->cancelled) {
    own.unlock();
    (*held)->cancel(*inner);
    close(*entry, *request);
  }
  return request->ticket;
}

void ModelPool::cancel(const Entry& entry, Ticket ticket) {
  Request request;
  {
    std::lock_guard lock(mutex_);
    const auto found = entry->open.find(ticket);
    if (found == entry->open.end()) {
      return;
    }
    request = found->second;
    std::erase(entry->waiting, request);
  }
  std::unique_lock own(request->mutex);
  if (std::exchange(request->over, true)) {
    return;
  }
  request->sink = nullptr;
  if (request->backend != nullptr && !request->inner) {
    request->cancelled = true;  // who submits it sees to the rest
    return;
  }
  if (request->inner) {
    Backend& backend = *request->backend;
    own.unlock();
    backend.cancel(*request->inner);
  } else {
    own.unlock();
  }
  close(*entry, *request);
}

// Once for every request that is over. No lock is held.
void ModelPool::close(PoolEntry& entry, const PoolRequest& request) {
  std::lock_guard lock(mutex_);
  const auto found = entry.open.find(request.ticket);
  if (found == entry.open.end()) {
    return;
  }
  if (request.counted) {
    --entry.uses;
    entry.last_used = now_seconds();
  }
  entry.open.erase(found);
  wake();
}

// Under the lock.
void ModelPool::wake() {
  news_ = true;
  changed_.notify_all();
}

}  // namespace rapid
