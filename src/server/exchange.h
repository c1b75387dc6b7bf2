// Exchange: one reply on its way from a handler's threads to the connection's
// thread. The handler side is a Reply (a ResponseStream); the connection side
// takes bytes out. Neither ever waits for the other.
//
// A slow reader's queue is bounded: past `max_queue` bytes the client counts
// as gone. wake() is called with the lock held and must only post.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/route.h"
#include "server/http_text.h"

namespace rapid {

struct ExchangeOptions {
  std::string id;          // x-request-id
  bool head_only = false;  // HEAD
  bool chunked = true;     // HTTP/1.1
  bool keep_alive = true;  // the connection goes on afterwards
  size_t max_queue = 8u << 20;
  ErrorBody error_body = standard_error_body;
  std::function<void()> wake;
};

class Exchange {
 public:
  explicit Exchange(ExchangeOptions options) : options_(std::move(options)) {}

  const std::string& id() const { return options_.id; }

  // The handler's side; see ResponseStream.
  void reply(int status, std::string body, std::string_view content_type);
  void header(std::string name, std::string value);
  void start_events();
  void start_lines();
  void push(std::string event);
  void end_events();
  void note(std::string text);
  void keepalive_event(std::string name, std::function<std::string()> data);
  bool events_begun() const;
  void on_disconnect(std::function<void()> callback);
  void abandon();  // nobody will write any more

  // The connection's side.
  struct Output {
    std::string bytes;
    bool finished = false;
    bool overflow = false;
    bool keep_alive = false;
  };
  Output take();
  // What says that the stream is alive, when one is open.
  void keepalive();
  bool streaming() const;
  bool overflow() const;  // the client reads too slowly
  int status() const;
  // What to call now that the client has left; empty when the reply is
  // complete or nobody asked. Later calls of the handler do nothing.
  std::function<void()> client_gone();
  void detach();  // wake() is not called any more

 private:
  enum class State { fresh, events, whole, complete, broken };

  void wake();
  void start(bool lines);
  std::string events_head() const;
  std::string whole_reply() const;

  mutable std::mutex mutex_;
  ExchangeOptions options_;
  State state_ = State::fresh;
  HeaderList headers_;
  int status_ = 0;
  std::string content_type_;
  std::string pending_;  // event bytes, or the whole body
  std::string note_;     // of keep-alives
  bool lines_ = false;   // JSON lines, not events
  std::string keepalive_name_;
  std::function<std::string()> keepalive_data_;
  bool head_sent_ = false;  // of an event stream
  bool overflow_ = false;
  bool gone_ = false;
  bool wake_posted_ = false;
  std::function<void()> disconnect_;
};

// The handler's hold on an Exchange; letting go of it ends the reply.
class Reply : public ResponseStream {
 public:
  explicit Reply(std::shared_ptr<Exchange> exchange)
      : exchange_(std::move(exchange)) {}
  ~Reply() override { exchange_->abandon(); }
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  void reply(
      int status, std::string body, std::string_view content_type) override {
    exchange_->reply(status, std::move(body), content_type);
  }
  void header(std::string name, std::string value) override {
    exchange_->header(std::move(name), std::move(value));
  }
  void start_events() override { exchange_->start_events(); }
  void event(std::string_view data) override;
  void named_event(std::string_view name, std::string_view data) override;
  void end_events() override { exchange_->end_events(); }
  void start_lines() override { exchange_->start_lines(); }
  void line(std::string_view json) override;
  void keepalive_event(
      std::string name, std::function<std::string()> data) override {
    exchange_->keepalive_event(std::move(name), std::move(data));
  }
  void note(std::string text) override { exchange_->note(std::move(text)); }
  bool events_begun() const override { return exchange_->events_begun(); }
  void on_disconnect(std::function<void()> callback) override {
    exchange_->on_disconnect(std::move(callback));
  }

 private:
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace rapid
