#include "api/submission.h"

#include <utility>

namespace rapid {

Status Submission::submit(const chat::Request& request, ChatSink sink) {
  std::unique_lock lock(mutex_);
  if (stopped_) {
    return Error{ErrorCode::cancelled, "the request was stopped"};
  }
  const uint64_t number = ++begun_;
  lock.unlock();
  RAPID_TRY(const Ticket ticket, backend_->submit(request, std::move(sink)));
  lock.lock();
  // The next one may have been submitted meanwhile, by the sink.
  if (number >= of_) {
    ticket_ = ticket;
    of_ = number;
  }
  const bool stop = stopped_;
  lock.unlock();
  if (stop) {
    backend_->cancel(ticket);
  }
  return {};
}

void Submission::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  const auto ticket = ticket_;
  lock.unlock();
  if (ticket) {
    backend_->cancel(*ticket);
  }
}

bool Submission::stopped() const {
  std::lock_guard lock(mutex_);
  return stopped_;
}

}  // namespace rapid
