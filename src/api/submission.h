// Submission: what a job asks of its backend, one request after another, and
// may be stopped at any time. Joins "it shall stop" with "the ticket is
// known": either may come first, on different threads.
//
//   const auto submission = std::make_shared<Submission>(backend);
//   RAPID_CHECK(submission->submit(request, sink));
//   stream->on_disconnect([submission] { submission->stop(); });
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "api/backend.h"

namespace rapid {

class Submission {
 public:
  explicit Submission(std::shared_ptr<Backend> backend)
      : backend_(std::move(backend)) {}

  // Also from inside the sink of the request before, once that is done. Once
  // stopped, nothing is submitted: cancelled.
  Status submit(const chat::Request& request, ChatSink sink);

  // No sink is called again once this has returned. Not from inside one.
  void stop();
  bool stopped() const;

 private:
  std::shared_ptr<Backend> backend_;
  mutable std::mutex mutex_;
  std::optional<Ticket> ticket_;  // of the latest request
  uint64_t begun_ = 0;            // requests
  uint64_t of_ = 0;               // the one that the ticket is for
  bool stopped_ = false;
};

}  // namespace rapid
