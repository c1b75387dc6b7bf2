#include "api/response_run.h"

#include <utility>

namespace rapid {

void ResponseRun::stop() {
  std::function<void()> cancel;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    cancel.swap(cancel_);
  }
  if (cancel) {
    cancel();
  }
}

void ResponseRun::detach(std::string body) {
  std::shared_ptr<ResponseStream> client;
  {
    std::lock_guard lock(mutex_);
    client.swap(client_);
  }
  if (client) {
    client->reply(200, std::move(body), "application/json");
  }
}

void ResponseRun::on_disconnect(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!stopped_) {
      cancel_.swap(callback);
    }
  }
  if (callback) {
    return callback();
  }
  if (!background_) {
    // Weak: the client's stream would own itself through it.
    forward([weak = weak_from_this()](ResponseStream& stream) {
      stream.on_disconnect([weak] {
        if (const auto self = weak.lock()) {
          self->stop();
        }
      });
    });
  }
}

void ResponseRun::reply(
    int status, std::string body, std::string_view content_type) {
  forward([&](ResponseStream& stream) {
    stream.reply(status, std::move(body), content_type);
  });
}

void ResponseRun::header(std::string name, std::string value) {
  forward([&](ResponseStream& stream) {
    stream.header(std::move(name), std::move(value));
  });
}

void ResponseRun::start_events() {
  forward([](ResponseStream& stream) { stream.start_events(); });
}

void ResponseRun::event(std::string_view data) {
  forward([&](ResponseStream& stream) { stream.event(data); });
}

void ResponseRun::named_event(std::string_view name, std::string_view data) {
  forward([&](ResponseStream& stream) { stream.named_event(name, data); });
}

void ResponseRun::end_events() {
  forward([](ResponseStream& stream) { stream.end_events(); });
}

void ResponseRun::start_lines() {
  forward([](ResponseStream& stream) { stream.start_lines(); });
}

void ResponseRun::line(std::string_view json) {
  forward([&](ResponseStream& stream) { stream.line(json); });
}

void ResponseRun::keepalive_event(
    std::string name, std::function<std::string()> data) {
  forward([&](ResponseStream& stream) {
    stream.keepalive_event(std::move(name), std::move(data));
  });
}

void ResponseRun::note(std::string text) {
  forward([&](ResponseStream& stream) { stream.note(std::move(text)); });
}

bool ResponseRun::events_begun() const {
  const auto stream = client();
  return stream && stream->events_begun();
}

}  // namespace rapid
