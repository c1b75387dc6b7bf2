// How a Connection reads a request and lets it in. Included once, by
// server.cpp.
#pragma once

// gcc 12 takes the frame allocator of asio's coroutines for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "server/connection.h"

namespace rapid {

namespace {

constexpr size_t kInputLimit = 128u << 10;
constexpr uint32_t kHeaderLimit = 32u << 10;
constexpr double kIdleSeconds = 75;
constexpr double kSlowestBytesPerSecond = 32 << 10;
constexpr double kFirstSilence = 1;  // then an event stream's head leaves
constexpr double kHalfClosedGrace = 0.5;
constexpr double kLingerSeconds = 2;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

HttpRequest make_request(
    http::request<http::string_body> message, Target target) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.path = std::move(target.path);
  request.query = std::move(target.query);
  for (const auto& field : message) {
    std::string& value = request.headers[lower(field.name_string())];
    value += value.empty() ? "" : ", ";
    value += std::string(field.value());
  }
  request.body = std::move(message.body());
  return request;
}

}  // namespace

Connection::Connection(ServerCore& core, tcp::socket socket)
    : core_(core),
      socket_(std::move(socket)),
      late_(core.stopping),
      timer_(core.network) {
  error_code ignored;
  remote_ = socket_.remote_endpoint(ignored).address().to_string();
  local_ = socket_.local_endpoint(ignored).address().to_string();
  if (core_.tls) {
    tls_.emplace(socket_, *core_.tls);
  }
  core_.connections.insert(this);
}

// ---- reading

void Connection::pump() {
  if (reading_ || eof_ || lost_ || input_.size() >= kInputLimit) {
    return;
  }
  reading_ = true;
  auto taken = [self = shared_from_this()](error_code ec, size_t size) {
    self->reading_ = false;
    self->input_.append(self->chunk_.data(), size);
    self->eof_ |= ec == asio::error::eof;
    self->lost_ |= ec && ec != asio::error::eof;
    self->wake();
    self->pump();
  };
  if (tls_) {
    tls_->async_read_some(asio::buffer(chunk_), std::move(taken));
  } else {
    socket_.async_read_some(asio::buffer(chunk_), std::move(taken));
  }
}

asio::awaitable<bool> Connection::wait_until(Clock::time_point deadline) {
  error_code ec;
  timer_.expires_at(deadline);
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  co_return Clock::now() < deadline;
}

asio::awaitable<bool> Connection::write(std::string bytes) {
  error_code ec;
  auto token = asio::redirect_error(asio::use_awaitable, ec);
  if (tls_) {
    co_await asio::async_write(*tls_, asio::buffer(bytes), token);
  } else {
    co_await asio::async_write(socket_, asio::buffer(bytes), token);
  }
  sent_ += bytes.size();
  lost_ |= ec.failed();
  co_return !ec.failed();
}

asio::awaitable<bool> Connection::shake_hands() {
  tls_->async_handshake(
      asio::ssl::stream_base::server,
      [self = shared_from_this()](error_code ec) {
        self->handshake_ = ec ? Handshake::failed : Handshake::done;
        self->wake();
      });
  const auto deadline =
      Clock::now() + seconds_of(core_.options.body_timeout_seconds);
  bool in_time = true;
  while (handshake_ == Handshake::pending && !lost_ && in_time) {
    in_time = co_await wait_until(deadline);
  }
  co_return handshake_ == Handshake::done && !lost_;
}

// Hands input_ to the parser. False: it is no good HTTP.
bool Connection::feed(Parser& parser, Refusal& refusal) {
  while (!input_.empty() && !parser.is_done()) {
    const bool had_header = parser.is_header_done();
    error_code ec;
    const size_t used = parser.put(asio::buffer(input_), ec);
    input_.erase(0, used);
    if (ec == http::error::need_more) {
      break;
    }
    if (ec == http::error::body_limit) {
      refusal = {
          413,
          {ErrorCode::too_large,
           fmt::format(
               "the request body is larger than {} bytes",
               core_.options.max_body_bytes)}};
      return false;
    }
    if (ec == http::error::header_limit) {
      refusal = {
          431, {ErrorCode::too_large, "the request headers are too large"}};
      return false;
    }
    if (ec) {
      refusal = {
          400, {ErrorCode::invalid_argument, "not HTTP/1.1: " + ec.message()}};
      return false;
    }
    if (!had_header && parser.is_header_done()) {
      break;  // the caller looks at the header before the body is read
    }
  }
  pump();
  return true;
}

// False: close, or refuse if refusal.status is set.
asio::awaitable<bool> Connection::read_header(
    Parser& parser, Refusal& refusal) {
  bool begun = false;
  auto deadline = Clock::now() + seconds_of(kIdleSeconds);
  pump();
  while (true) {
    if (!begun) {
      input_.erase(0, input_.find_first_not_of("\r\n"));
    }
    idle_since_.reset();
    if (!begun && !input_.empty()) {
      begun = true;
      deadline = Clock::now() + seconds_of(core_.options.body_timeout_seconds);
    }
    if (!feed(parser, refusal)) {
      co_return false;
    }
    if (parser.is_header_done()) {
      co_return true;
    }
    // A client that comes while the server stops is told so.
    const bool closing = core_.stopped || (core_.stopping && !late_);
    if (eof_ || lost_ || (closing && !begun)) {
      co_return false;
    }
    if (!begun) {
      idle_since_ = deadline - seconds_of(kIdleSeconds);
    }
    const bool in_time = co_await wait_until(deadline);
    if (!in_time) {
      if (begun) {
        refusal = {
            408, {ErrorCode::invalid_argument, "the request came too slowly"}};
      }
      co_return false;
    }
  }
}

// The time limit grows with what has come, so that a large body over a slow
// line gets through and a trickle does not.
asio::awaitable<bool> Connection::read_body(Parser& parser, Refusal& refusal) {
  const auto start = Clock::now();
  parser.eager(true);
  while (true) {
    if (!feed(parser, refusal)) {
      co_return false;
    }
    if (parser.is_done()) {
      co_return true;
    }
    if (lost_ || (eof_ && input_.empty())) {
      lost_ = true;
      co_return false;
    }
    const double allowed = core_.options.body_timeout_seconds +
                           static_cast<double>(parser.get().body().size()) /
                               kSlowestBytesPerSecond;
    const bool in_time = co_await wait_until(start + seconds_of(allowed));
    if (!in_time) {
      refusal = {
          408,
          {ErrorCode::invalid_argument, "the request body came too slowly"}};
      co_return false;
    }
  }
}

// ---- one request

Caller Connection::caller_of(const Parser& parser) const {
  const auto& message = parser.get();
  return {
      .host = std::string(message[http::field::host]),
      .origin = std::string(message[http::field::origin]),
      .authorization = std::string(message[http::field::authorization]),
      .api_key = std::string(message["x-api-key"]),
      .local = local_};
}

Refusal Connection::no_route(
    const Parser& parser, const RouteTable::Match& match) const {
  const std::string method(parser.get().method_string());
  const std::string path(parser.get().target());
  if (match.allowed.empty()) {
    return {
        404,
        {ErrorCode::not_found,
         fmt::format("nothing answers to {} {}", method, path),
         "GET / lists the endpoints"}};
  }
  std::string allow;
  for (const std::string& one : match.allowed) {
    allow += (allow.empty() ? "" : ", ") + one;
  }
  if (method == "OPTIONS") {
    HeaderList headers = core_.gate.preflight(
        caller_of(parser),
        allow,
        parser.get()[http::field::access_control_request_headers]);
    headers.emplace_back("allow", allow + ", OPTIONS");
    return {204, {}, std::move(headers)};
  }
  return {
      405,
      {ErrorCode::invalid_argument,
       fmt::format("{} takes {}, not {}", path, allow, method)},
      {{"allow", allow}}};
}

// What two readers of one request could read in two ways is refused: where a
// body ends, and whose host it is for.
Refusal Connection::check_framing(const Parser& parser) {
  const auto& message = parser.get();
  const auto wrong = [](const char* what) {
    return Refusal{400, {ErrorCode::invalid_argument, what}};
  };
  if (message.version() != 10 && message.version() != 11) {
    return wrong("only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  if (message.count(http::field::host) > 1) {
    return wrong("a request has one host header");
  }
  const auto encoding = message[http::field::transfer_encoding];
  const auto encodings = message.count(http::field::transfer_encoding);
  if (encodings > 1 || (encodings == 1 && lower(encoding) != "chunked")) {
    return wrong("bodies come with a content-length or chunked");
  }
  if (encodings > 0 && (message.version() == 10 ||
                        message.count(http::field::content_length) > 0)) {
    return wrong("a body is chunked, or has a content-length");
  }
  return {};
}

// What lets a request in counts it, under its key.
Refusal Connection::check(
    const Parser& parser, const RouteTable::Match& match, int& key) {
  if (core_.stopping) {
    return {
        503,
        {ErrorCode::busy, "the server is stopping", "try again in a moment"},
        {{"retry-after", "5"}}};
  }
  if (Refusal refusal = check_framing(parser); refusal.status != 0) {
    return refusal;
  }
  const Caller caller = caller_of(parser);
  if (Refusal refusal = core_.gate.check(caller); refusal.status != 0) {
    return refusal;
  }
  if (match.route == nullptr) {
    return no_route(parser, match);
  }
  if (match.route->auth == Auth::open) {
    return {};
  }
  const double now =
      std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
  return core_.gate.admit(caller, now, key);
}

void Connection::log(const Exchange& exchange, AccessEntry entry) const {
  if (core_.access.on()) {
    entry.id = exchange.id();
    entry.remote = remote_;
    entry.status = exchange.status();
    entry.bytes_out = sent_;
    entry.left = lost_;
    core_.access.write(entry);
  }
}

std::string Connection::new_id() {
  return fmt::format("{:012x}{:06x}", core_.id_seed, ++core_.next_id);
}

std::shared_ptr<Exchange> Connection::make_exchange(
    const Parser& parser, bool keep_alive, ErrorBody error_body) {
  auto exchange = std::make_shared<Exchange>(ExchangeOptions{
      .id = new_id(),
      .head_only = parser.get().method() == http::verb::head,
      .chunked = parser.get().version() >= 11,
      .keep_alive = keep_alive,
      .error_body = error_body,
      .wake = [this, weak = weak_from_this()] {
        asio::post(core_.network, [weak] {
          if (const auto self = weak.lock()) {
            self->look();
          }
        });
      }});
  for (auto& [name, value] : core_.gate.cors(caller_of(parser))) {
    exchange->header(name, value);
  }
  return exchange;
}

asio::awaitable<Connection::Next> Connection::refuse(
    Parser& parser, Refusal refusal, ErrorBody error_body, AccessEntry entry) {
  // What is left of the body would be taken for the next request.
  const bool whole = parser.is_done() && refusal.status != 400;
  const bool keep = whole && parser.keep_alive() && !core_.stopping;
  unread_ = !whole;
  const auto exchange = make_exchange(parser, keep, error_body);
  for (auto& [name, value] : refusal.headers) {
    exchange->header(name, value);
  }
  std::string body;
  if (refusal.status != 204) {
    body = error_body(refusal.status, refusal.error);
  }
  exchange->reply(refusal.status, std::move(body), "application/json");
  const Next next = co_await respond(exchange);
  log(*exchange, std::move(entry));
  co_return next;
}

void Connection::start_handler(
    const Route& route,
    HttpRequest request,
    const std::shared_ptr<Exchange>& exchange) {
  asio::post(
      core_.workers,
      [&route,
       context = core_.context,
       request = std::move(request),
       reply = std::make_shared<Reply>(exchange)]() mutable {
        try {
          route.handler(request, reply, *context);
        } catch (const std::exception& e) {
          spdlog::error("{} {}: {}", request.method, request.path, e.what());
          const Error error{
              ErrorCode::internal, "the request failed on our side"};
          reply_error(*reply, error, route.error_body);
        }
      });
}

// Answers "expect: 100-continue", or refuses what else is expected.
asio::awaitable<void> Connection::go_on(Parser& parser, Refusal& refusal) {
  const auto expect = lower(parser.get()[http::field::expect]);
  if (expect.empty()) {
    co_return;
  }
  if (expect != "100-continue") {
    refusal = {417, {ErrorCode::invalid_argument, "unknown expectation"}};
  } else if (input_.empty() && !parser.is_done()) {
    std::string line = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await write(std::move(line));
  }
}

asio::awaitable<Connection::Next> Connection::serve_one() {
  Parser parser;
  parser.header_limit(kHeaderLimit);
  parser.body_limit(core_.options.max_body_bytes);
  parser.eager(false);
  Refusal refusal;
  RouteTable::Match match;
  match.error_body = standard_error_body;
  int key = Gate::kNoKey;
  const bool readable = co_await read_header(parser, refusal);
  const auto start = Clock::now();
  sent_ = 0;
  std::optional<Target> target;
  AccessEntry entry;
  if (readable) {
    entry.method = std::string(parser.get().method_string());
    entry.agent = std::string(parser.get()[http::field::user_agent]);
    target = parse_target(parser.get().target());
    if (!target) {
      refusal = {400, {ErrorCode::invalid_argument, "not a valid path"}};
    } else {
      entry.path = target->path;
      match = core_.routes.find(entry.method, target->path);
      refusal = check(parser, match, key);
    }
  }
  std::optional<OpenRequest> open;
  if (readable && refusal.status == 0) {
    open.emplace(core_, key);
    entry.key = core_.gate.name(key);
    co_await go_on(parser, refusal);
  }
  bool complete = readable && refusal.status == 0;
  if (complete) {
    complete = co_await read_body(parser, refusal);
    entry.bytes_in = parser.get().body().size();
  }
  if (refusal.status != 0) {
    entry.seconds = seconds_since(start);
    const Next next = co_await refuse(
        parser, std::move(refusal), match.error_body, std::move(entry));
    co_return next;
  }
  if (!complete) {
    co_return Next::close;
  }
  const auto exchange =
      make_exchange(parser, parser.keep_alive(), match.error_body);
  HttpRequest request = make_request(parser.release(), std::move(*target));
  request.tail = match.tail;
  request.id = exchange->id();
  request.owner = core_.gate.owner(key);
  start_handler(*match.route, std::move(request), exchange);
  const Next next = co_await respond(exchange);
  entry.seconds = seconds_since(start);
  spdlog::debug(
      "{} {} {} {:.1f} ms",
      entry.method,
      entry.path,
      exchange->status(),
      entry.seconds * 1000);
  log(*exchange, std::move(entry));
  co_return next;
}

}  // namespace rapid
