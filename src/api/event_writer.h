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
};

// The backend, or busy while the model loads.
Result<std::shared_ptr<Backend>> ready_backend(const ApiContext& context);

// Submits `request`, feeds its events to `writer`, cancels when the client
// leaves, and answers with the dialect's error when submit refuses.
void run_request(
    const chat::Request& request,
    std::shared_ptr<EventWriter> writer,
    std::shared_ptr<ResponseStream> stream,
    ApiContext& context,
    ErrorBody error_body);

}  // namespace rapid
