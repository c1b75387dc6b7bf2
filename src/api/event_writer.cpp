#include "api/event_writer.h"

#include <utility>

#include "api/submission.h"
#include "base/log.h"

namespace rapid {

namespace {

// In the dialect's own way, if its writer still can.
void give_up(EventWriter& writer, ResponseStream& stream, ErrorBody body) {
  const Error error{ErrorCode::internal, "the reply could not be written"};
  try {
    writer.on(chat::Failed{error});
  } catch (const std::exception&) {
    reply_error(stream, error, body);
  }
}

}  // namespace

Result<std::shared_ptr<Backend>> ready_backend(const ApiContext& context) {
  return backend_for(context, "");
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
  run_request(
      request,
      std::move(writer),
      std::move(stream),
      *std::move(backend),
      error_body);
}

void run_request(
    const chat::Request& request,
    std::shared_ptr<EventWriter> writer,
    std::shared_ptr<ResponseStream> stream,
    std::shared_ptr<Backend> backend,
    ErrorBody error_body) {
  const auto submission = std::make_shared<Submission>(std::move(backend));
  auto sink = [writer = std::move(writer), stream, error_body](
                  const chat::Event& event) {
    try {
      const auto* progress = std::get_if<chat::Progress>(&event);
      if (progress != nullptr && !progress->waiting_for.empty()) {
        writer->waiting(progress->waiting_for);
      } else {
        writer->on(event);
      }
    } catch (const std::exception& e) {  // a sink must not throw
      spdlog::error("a reply could not be written: {}", e.what());
      give_up(*writer, *stream, error_body);
    }
  };
  if (const auto done = submission->submit(request, std::move(sink)); !done) {
    return reply_error(*stream, done.error(), error_body);
  }
  stream->on_disconnect([submission] { submission->stop(); });
}

}  // namespace rapid
