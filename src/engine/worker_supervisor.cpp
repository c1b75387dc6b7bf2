#include "engine/worker_supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "base/clock.h"
#include "base/log.h"
#include "base/platform.h"

namespace rapid {
namespace {

constexpr int kPollMs = 100;
constexpr int kIdlePollMs = 2000;     // orders and messages end it at once
constexpr int kMessagesAtOnce = 512;  // then orders are looked at
// For a process that closed its socket to be gone, too.
constexpr double kDyingSeconds = 0.2;
constexpr double kLongestDelay = 8;
constexpr double kQuietSeconds = 2;

Error stopping() {
  return {ErrorCode::cancelled, "the engine is shutting down"};
}

}  // namespace

Supervisor::Supervisor(
    const EngineOptions& options, WorkerSettings settings, WorkerBoard& board)
    : options_(options),
      settings_(std::move(settings)),
      board_(board),
      last_progress_(now_seconds()) {
  int ends[2];
  if (::pipe(ends) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  for (const int end : ends) {
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
    ::fcntl(end, F_SETFL, O_NONBLOCK);
  }
  wake_read_ = ends[0];
  wake_write_ = ends[1];
}

Supervisor::~Supervisor() {
  ::close(wake_read_);
  ::close(wake_write_);
}

void Supervisor::wake() const {
  const char byte = 1;
  [[maybe_unused]] const auto written = ::write(wake_write_, &byte, 1);
}

Status Supervisor::start() {
  launch();
  while (phase_ == Phase::loading && !board_.stop) {
    poll_once();
    receive();
    judge();
  }
  if (phase_ == Phase::serving) {
    publish();
    return {};
  }
  if (link_) {
    link_->end(0);
    link_.reset();
  }
  return load_error_.value_or(stopping());
}

void Supervisor::run() {
  while (!board_.stop) {
    poll_once();
    receive();
    take_orders();
    judge();
    if (phase_ == Phase::resting && now_seconds() >= next_launch_ &&
        failed_loads_ < settings_.most_loads) {
      launch();
    }
    pump();
    sweep();
    if (std::exchange(news_, false)) {
      publish();
    }
    tidy();
  }
  take_orders();
  fail_all(stopping());
  if (link_) {
    link_->end(settings_.quit_seconds);
    link_.reset();
  }
}

// Texts of past requests are free memory here; the worker sees to its own.
void Supervisor::tidy() {
  const double now = now_seconds();
  if (!open_.empty()) {
    last_open_ = now;
    tidied_ = false;
  } else if (
      now - last_open_ > kQuietSeconds && !std::exchange(tidied_, true)) {
    release_free_memory();
  }
}

void Supervisor::launch() {
  since_ = now_seconds();
  auto link = WorkerLink::start(settings_.program, settings_.command, options_);
  if (!link) {
    return load_failed(link.error());
  }
  link_.emplace(*std::move(link));
  phase_ = Phase::loading;
  news_ = true;
}

void Supervisor::poll_once() {
  pollfd files[2] = {{wake_read_, POLLIN, 0}, {-1, 0, 0}};
  if (link_) {
    files[1] = {link_->fd(), link_->events(), 0};
  }
  const bool idle = phase_ == Phase::serving && open_.empty();
  ::poll(files, 2, idle ? kIdlePollMs : kPollMs);
  char bytes[256];
  while (::read(wake_read_, bytes, sizeof(bytes)) > 0) {
  }
  if (link_) {
    link_->flush();
  }
}

template <typename Other>
void Supervisor::handle(Other&) {
  lose("it sent a message the wrong way");
}

void Supervisor::receive() {
  for (int i = 0; link_ && i < kMessagesAtOnce; ++i) {
    auto message = link_->receive();
    if (message) {
      std::visit([this](auto& each) { handle(each); }, *message);
    } else if (link_->lost()) {
      lose("it ended");
    } else {
      return;
    }
  }
  wake();  // there is more
}

void Supervisor::handle(WireReady& message) {
  if (phase_ != Phase::loading) {
    return lose("it loaded twice");
  }
  const EngineInfo& info = message.info;
  if (known_ && (info.architecture != info_.architecture ||
                 info.vocabulary != info_.vocabulary ||
                 info.context_length != info_.context_length ||
                 info.parameters != info_.parameters)) {
    return load_failed(
        {ErrorCode::corrupt,
         "the model's files are not what they were",
         "restart the server"});
  }
  if (!std::exchange(known_, true)) {
    info_ = info;  // read by other threads from now on, never changed
    options_.memory = info.memory;
  }
  phase_ = Phase::serving;
  news_ = true;
  since_ = busy_since_ = now_seconds();
  failed_loads_ = 0;
  load_error_.reset();
}

void Supervisor::handle(WireLoadFailed& message) {
  load_failed(message.error);
}

void Supervisor::handle(WirePulse& message) {
  news_ = true;
  worker_stats_ = std::move(message.stats);
  pings_seen_ = std::max(pings_seen_, message.ping);
  last_progress_ = std::max(
      last_progress_, now_seconds() - worker_stats_.last_progress_seconds);
}

void Supervisor::judge() {
  const double now = now_seconds();
  if (phase_ == Phase::loading && now - since_ > settings_.load_seconds) {
    return load_failed(
        {ErrorCode::internal,
         fmt::format(
             "the model was not loaded within {} seconds",
             settings_.load_seconds)});
  }
  if (phase_ != Phase::serving) {
    return;
  }
  if (!working()) {
    busy_since_ = now;
  }
  const double since = std::max(last_progress_, busy_since_);
  if (now - since > settings_.stall_seconds) {
    lose(fmt::format("no progress for {:.1f} seconds", now - since));
  }
}

// The worker is gone, or must go.
void Supervisor::lose(const std::string& why) {
  const std::string how = link_->end(kDyingSeconds);
  if (phase_ == Phase::loading) {
    return load_failed(
        {ErrorCode::internal,
         fmt::format("the engine's process ended while it loaded ({})", how)});
  }
  spdlog::warn(
      "the engine's process is replaced: {} ({}); {} requests go on",
      why,
      how,
      open_.size());
  const bool killed_by_others = link_->killed_by_others();
  link_.reset();
  ++past_.restarts;
  past_.parked += worker_stats_.parked;
  past_.prompt_tokens += worker_stats_.prompt_tokens;
  past_.cached_tokens += worker_stats_.cached_tokens;
  past_.drafted_tokens += worker_stats_.drafted_tokens;
  past_.accepted_tokens += worker_stats_.accepted_tokens;
  past_.evicted_prompts += worker_stats_.evicted_prompts;
  worker_stats_ = {};
  blame(killed_by_others);
  sweep();
  rest();
}

void Supervisor::load_failed(const Error& error) {
  if (link_) {
    link_->end(0);
    link_.reset();
  }
  ++failed_loads_;
  load_error_ = error;
  rest();
  if (known_) {
    spdlog::error("the engine cannot be loaded again: {}", error.what);
  }
  if (failed_loads_ >= settings_.most_loads) {
    publish();  // who hears of it may ask
    fail_all(error);
    open_.clear();
  }
}

// The first death in a row costs no time.
void Supervisor::rest() {
  phase_ = Phase::resting;
  news_ = true;
  parts_.clear();
  pings_sent_ = pings_seen_;
  const int before = std::min(deaths_in_row_++, 10);
  const double delay =
      before == 0 ? 0 : std::ldexp(settings_.first_delay, before - 1);
  next_launch_ = now_seconds() + std::min(delay, kLongestDelay);
}

}  // namespace rapid
