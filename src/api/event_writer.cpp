#include "api/event_writer.h"

#include <mutex>
#include <optional>
#include <utility>

#include "base/log.h"

namespace rapid {

namespace {

// Joins "the client left" with "the ticket is known": either may come first,
// on different threads.
class Job {
 public:
  explicit Job(std::shared_ptr<Backend> backend)
      : backend_(std::move(backend)) {}

  void accepted(Ticket ticket) {
    std::unique_lock lock(mutex_);
    ticket_ = ticket;
    const bool cancel = left_;
    lock.unlock();
    if (cancel) {
      backend_->cancel(ticket);
    }
  }

  void client_left() {
    std::unique_lock lock(mutex_);
    left_ = true;
    const auto ticket = ticket_;
    lock.unlock();
    if (ticket) {
      backend_->cancel(*ticket);
    }
  }

 private:
  std::shared_ptr<Backend> backend_;
  std::mutex mutex_;
  std::optional<Ticket> ticket_;
  bool left_ = false;
};

}  // namespace

Result<std::shared_ptr<Backend>> ready_backend(const ApiContext& context) {
  auto backend = context.backend();
  if (!backend) {
    return Error{
        ErrorCode::busy, "the model is still loading", "try again in a moment"};
  }
  return backend;
}

void run_request(
    const chat::Request& request,
    std::shared_ptr<EventWriter> writer,
    std::shared_ptr<ResponseStream> stream,
    ApiContext& context,
    ErrorBody error_body) {
  auto backend = ready_backend(context);
  if (!backend) {
    return reply_error(*stream, backend.error(), error_body);
  }
  const auto job = std::make_shared<Job>(*backend);
  auto sink = [writer = std::move(writer), stream, error_body](
                  const chat::Event& event) {
    try {
      writer->on(event);
    } catch (const std::exception& e) {  // a sink must not throw
      spdlog::error("a reply could not be written: {}", e.what());
      reply_error(
          *stream,
          {ErrorCode::internal, "the reply could not be written"},
          error_body);
    }
  };
  const auto ticket = (*backend)->submit(request, std::move(sink));
  if (!ticket) {
    return reply_error(*stream, ticket.error(), error_body);
  }
  job->accepted(*ticket);
  stream->on_disconnect([job] { job->client_left(); });
}

}  // namespace rapid
