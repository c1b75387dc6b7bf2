#include "server/exchange.h"

#include <algorithm>
#include <utility>

namespace rapid {

namespace {

// A line break inside data would end the field, so each line gets its own.
std::string data_lines(std::string_view data) {
  std::string out;
  while (true) {
    const size_t end = data.find('\n');
    out += "data: ";
    out += data.substr(0, end);
    out += '\n';
    if (end == std::string_view::npos) {
      return out + '\n';
    }
    data.remove_prefix(end + 1);
  }
}

std::string named(std::string_view name, std::string_view data) {
  return "event: " + std::string(name) + '\n' + data_lines(data);
}

}  // namespace

void Exchange::wake() {
  if (!wake_posted_ && options_.wake) {
    wake_posted_ = true;
    options_.wake();
  }
}

void Exchange::reply(
    int status, std::string body, std::string_view content_type) {
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  const bool open = state_ == State::fresh || (state_ == State::events &&
                                               !head_sent_ && pending_.empty());
  if (gone_ || !open) {
    return;
  }
  state_ = State::whole;
  status_ = status;
  content_type_ = content_type;
  pending_ = std::move(body);
  dropped.swap(disconnect_);
  wake();
}

void Exchange::header(std::string name, std::string value) {
  std::lock_guard lock(mutex_);
  headers_.emplace_back(std::move(name), std::move(value));
}

void Exchange::start_events() {
  start(false);
}

void Exchange::start_lines() {
  start(true);
}

void Exchange::start(bool lines) {
  std::lock_guard lock(mutex_);
  if (!gone_ && state_ == State::fresh) {
    state_ = State::events;
    lines_ = lines;
    status_ = 200;
    wake();
  }
}

void Exchange::push(std::string event) {
  std::lock_guard lock(mutex_);
  if (gone_ || state_ != State::events) {
    return;
  }
  if (overflow_) {
    return;
  }
  if (pending_.size() + event.size() > options_.max_queue) {
    overflow_ = true;
    wake_posted_ = false;  // the connection may be stuck in a write
  } else {
    pending_ += event;
  }
  wake();
}

void Exchange::end_events() {
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  if (!gone_ && state_ == State::events) {
    state_ = State::complete;
    dropped.swap(disconnect_);
    wake();
  }
}

bool Exchange::events_begun() const {
  std::lock_guard lock(mutex_);
  return state_ == State::events && (head_sent_ || !pending_.empty());
}

void Exchange::on_disconnect(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!gone_) {
      if (state_ == State::fresh || state_ == State::events) {
        disconnect_ = std::move(callback);
      }
      return;
    }
  }
  callback();
}

void Exchange::abandon() {
  if (!events_begun()) {
    // Does nothing after a proper reply.
    reply(
        500,
        options_.error_body(
            500, {ErrorCode::internal, "the request was not answered"}),
        "application/json");
    return;
  }
  std::lock_guard lock(mutex_);
  if (!gone_ && state_ == State::events) {
    state_ = State::broken;
    wake();
  }
}

std::string Exchange::events_head() const {
  HeaderList headers = {
      {"content-type",
       lines_ ? "application/x-ndjson" : "text/event-stream; charset=utf-8"},
      {"cache-control", "no-cache"},
      {"x-request-id", options_.id}};
  if (options_.chunked) {
    headers.emplace_back("transfer-encoding", "chunked");
  }
  if (!options_.keep_alive || !options_.chunked) {
    headers.emplace_back("connection", "close");
  }
  headers.insert(headers.end(), headers_.begin(), headers_.end());
  return response_head(200, headers);
}

std::string Exchange::whole_reply() const {
  HeaderList headers = {{"x-request-id", options_.id}};
  if (status_ != 204 && status_ != 304) {
    headers.emplace_back("content-type", content_type_);
    headers.emplace_back("content-length", std::to_string(pending_.size()));
  }
  headers.emplace_back(
      "connection", options_.keep_alive ? "keep-alive" : "close");
  headers.insert(headers.end(), headers_.begin(), headers_.end());
  std::string out = response_head(status_, headers);
  if (!options_.head_only) {
    out += pending_;
  }
  return out;
}

Exchange::Output Exchange::take() {
  std::lock_guard lock(mutex_);
  wake_posted_ = false;
  Output out;
  out.overflow = overflow_;
  out.keep_alive = options_.keep_alive;
  if (state_ == State::whole) {
    out.bytes = whole_reply();
    out.finished = true;
    return out;
  }
  out.finished = state_ == State::complete || state_ == State::broken;
  if (pending_.empty() && !out.finished) {
    return out;
  }
  if (!head_sent_) {
    out.bytes = events_head();
    head_sent_ = true;
  }
  if (!pending_.empty()) {
    out.bytes += options_.chunked ? chunk_of(pending_) : pending_;
    pending_.clear();
  }
  if (state_ == State::complete && options_.chunked) {
    out.bytes += "0\r\n\r\n";
  }
  out.keep_alive &= options_.chunked && state_ == State::complete;
  return out;
}

void Exchange::keepalive() {
  std::lock_guard lock(mutex_);
  if (state_ != State::events || gone_) {
    return;
  }
  const std::string data = keepalive_data_ ? keepalive_data_() : "";
  if (lines_) {
    pending_ += ' ';
  } else if (!data.empty()) {
    pending_ += named(keepalive_name_, data);
  } else {
    pending_ += ": keepalive" + note_ + "\n\n";
  }
}

void Exchange::keepalive_event(
    std::string name, std::function<std::string()> data) {
  std::lock_guard lock(mutex_);
  keepalive_name_ = std::move(name);
  keepalive_data_ = std::move(data);
}

void Exchange::note(std::string text) {
  std::ranges::replace_if(text, [](char c) { return c < ' '; }, ' ');
  std::lock_guard lock(mutex_);
  note_ = text.empty() ? "" : " " + std::move(text);
}

bool Exchange::streaming() const {
  std::lock_guard lock(mutex_);
  return state_ == State::events;
}

bool Exchange::overflow() const {
  std::lock_guard lock(mutex_);
  return overflow_;
}

int Exchange::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

std::function<void()> Exchange::client_gone() {
  std::lock_guard lock(mutex_);
  gone_ = true;
  pending_.clear();
  return std::exchange(disconnect_, nullptr);
}

void Exchange::detach() {
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  dropped.swap(options_.wake);
}

void Reply::event(std::string_view data) {
  exchange_->push(data_lines(data));
}

void Reply::named_event(std::string_view name, std::string_view data) {
  exchange_->push(named(name, data));
}

void Reply::line(std::string_view json) {
  exchange_->push(std::string(json) + '\n');
}

}  // namespace rapid
