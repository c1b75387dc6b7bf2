// EventWriter: one dialect's view of one request's events. Streaming and not
// streaming are the same writer over another sink: both see every event once,
// in order, on the front thread.
#pragma once

#include <memory>

#include "api/route.h"
#include "chat/event.h"
#include "chat/request.h"

namespace rapid {

class EventWriter {
 public:
  virtual ~EventWriter() = default;
  virtual void on(const chat::Event& event) = 0;

  // Before any event, maybe often: the request waits for its model, `why` in
  // one short line. A writer that streams begins its stream here
  // (start_events) and notes it, so that the client sees keep-alives.
  virtual void waiting(const std::string& why) { (void)why; }
};

// Submits `request`, feeds its events to `writer`, cancels when the client
// leaves, and answers with the dialect's error when submit refuses.
void run_request(
    const chat::Request& request,
    std::shared_ptr<EventWriter> writer,
    std::shared_ptr<ResponseStream> stream,
    std::shared_ptr<Backend> backend,
    ErrorBody error_body);

// The default model's, whatever the request says; busy while there is none.
Result<std::shared_ptr<Backend>> ready_backend(const ApiContext& context);
void run_request(
    const chat::Request& request,
    std::shared_ptr<EventWriter> writer,
    std::shared_ptr<ResponseStream> stream,
    ApiContext& context,
    ErrorBody error_body);

}  // namespace rapid
