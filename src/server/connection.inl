// What a Connection does. Included once, by server.cpp.
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

// ---- reading

void Connection::pump() {
  if (reading_ || eof_ || lost_ || input_.size() >= kInputLimit) {
    return;
  }
  reading_ = true;
  socket_.async_read_some(
      asio::buffer(chunk_),
      [self = shared_from_this()](error_code ec, size_t size) {
        self->reading_ = false;
        self->input_.append(self->chunk_.data(), size);
        self->eof_ |= ec == asio::error::eof;
        self->lost_ |= ec && ec != asio::error::eof;
        self->wake();
        self->pump();
      });
}

asio::awaitable<bool> Connection::wait_until(Clock::time_point deadline) {
  error_code ec;
  timer_.expires_at(deadline);
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  co_return Clock::now() < deadline;
}

asio::awaitable<bool> Connection::write(std::string bytes) {
  error_code ec;
  co_await asio::async_write(
      socket_,
      asio::buffer(bytes),
      asio::redirect_error(asio::use_awaitable, ec));
  lost_ |= ec.failed();
  co_return !ec.failed();
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
    if (eof_ || lost_ || (core_.stopping && !begun)) {
      co_return false;
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

bool Connection::has_key(const Parser& parser) const {
  const std::string& secret = core_.options.api_key;
  if (secret.empty()) {
    return true;
  }
  const auto& message = parser.get();
  std::string_view given = message["x-api-key"];
  const std::string_view bearer = message[http::field::authorization];
  if (lower(bearer.substr(0, 7)) == "bearer ") {
    given = bearer.substr(7);
  }
  return same_secret(given, secret);
}

Connection::Refusal Connection::check(
    const Parser& parser, const RouteTable::Match& match) const {
  const std::string method(parser.get().method_string());
  if (match.route != nullptr) {
    if (match.route->auth == Auth::key && !has_key(parser)) {
      return {
          401,
          {ErrorCode::unauthorized,
           "the API key is missing or wrong",
           "send it as \"authorization: Bearer KEY\" or \"x-api-key: KEY\""},
          {{"www-authenticate", "Bearer"}}};
    }
    return {};
  }
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
    return {204, {}, {{"allow", allow + ", OPTIONS"}}};
  }
  return {
      405,
      {ErrorCode::invalid_argument,
       fmt::format("{} takes {}, not {}", path, allow, method)},
      {{"allow", allow}}};
}

std::string Connection::new_id() {
  return fmt::format("{:012x}{:06x}", core_.id_seed, ++core_.next_id);
}

std::shared_ptr<Exchange> Connection::make_exchange(
    const Parser& parser, bool keep_alive, ErrorBody error_body) {
  return std::make_shared<Exchange>(ExchangeOptions{
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
}

asio::awaitable<Connection::Next> Connection::refuse(
    Parser& parser, Refusal refusal, ErrorBody error_body) {
  // What is left of the body would be taken for the next request.
  const bool keep = parser.is_done() && parser.keep_alive();
  unread_ = !parser.is_done();
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

asio::awaitable<Connection::Next> Connection::serve_one() {
  Parser parser;
  parser.header_limit(kHeaderLimit);
  parser.body_limit(core_.options.max_body_bytes);
  parser.eager(false);
  Refusal refusal;
  RouteTable::Match match;
  match.error_body = standard_error_body;
  const bool readable = co_await read_header(parser, refusal);
  const auto start = Clock::now();
  std::optional<Target> target;
  if (readable) {
    target = parse_target(parser.get().target());
    if (!target) {
      refusal = {400, {ErrorCode::invalid_argument, "not a valid path"}};
    } else {
      match = core_.routes.find(parser.get().method_string(), target->path);
      refusal = check(parser, match);
    }
    const auto expect = lower(parser.get()[http::field::expect]);
    if (refusal.status == 0 && !expect.empty()) {
      if (expect != "100-continue") {
        refusal = {417, {ErrorCode::invalid_argument, "unknown expectation"}};
      } else if (input_.empty() && !parser.is_done()) {
        std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await write(std::move(go_on));
      }
    }
  }
  bool complete = readable && refusal.status == 0;
  if (complete) {
    complete = co_await read_body(parser, refusal);
  }
  if (refusal.status != 0) {
    const Next next =
        co_await refuse(parser, std::move(refusal), match.error_body);
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
  const std::string line = request.method + " " + request.path;
  start_handler(*match.route, std::move(request), exchange);
  const Next next = co_await respond(exchange);
  spdlog::debug(
      "{} {} {:.1f} ms",
      line,
      exchange->status(),
      std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  co_return next;
}

// ---- the reply

asio::awaitable<Connection::Next> Connection::respond(
    std::shared_ptr<Exchange> exchange) {
  current_ = exchange;
  const double period = core_.options.keepalive_seconds;
  const auto grace = seconds_of(kHalfClosedGrace);
  auto silence_ends =
      Clock::now() + seconds_of(std::min(period, kFirstSilence));
  std::optional<Clock::time_point> closed_at;
  int probes = 0;
  while (true) {
    auto out = exchange->take();
    const bool wrote = !out.bytes.empty() && !lost_;
    if (wrote) {
      co_await write(std::move(out.bytes));
      silence_ends = std::max(silence_ends, Clock::now() + seconds_of(period));
    }
    if (out.overflow || lost_) {
      break;
    }
    if (out.finished) {
      exchange->detach();
      const bool keep = out.keep_alive && !core_.stopping;
      co_return keep ? Next::go_on : Next::close;
    }
    if (wrote) {
      continue;  // more may have come while writing
    }
    // A client that closed looks like one that only has no more to say. Only
    // writing tells them apart, which an event stream can do at once.
    auto deadline = silence_ends;
    if (eof_) {
      closed_at = closed_at.value_or(Clock::now());
      const auto due = *closed_at + probes * grace / 2;
      if (exchange->streaming() && probes < 3) {
        if (Clock::now() >= due) {
          ++probes;
          exchange->keepalive();
          continue;
        }
        deadline = std::min(deadline, due);
      } else if (!exchange->streaming()) {
        if (Clock::now() >= *closed_at + grace) {
          break;
        }
        deadline = std::min(deadline, *closed_at + grace);
      }
    }
    co_await wait_until(deadline);
    if (Clock::now() >= silence_ends) {
      exchange->keepalive();
      silence_ends = Clock::now() + seconds_of(period);
    }
  }
  lost_ = true;
  if (auto left = exchange->client_gone()) {
    asio::post(core_.workers, std::move(left));
  }
  exchange->detach();
  co_return Next::close;
}

// Closing with unread input makes the kernel drop the reply on its way.
asio::awaitable<void> Connection::linger() {
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  const auto deadline = Clock::now() + seconds_of(kLingerSeconds);
  while (!eof_ && !lost_ && Clock::now() < deadline) {
    input_.clear();
    pump();
    co_await wait_until(deadline);
  }
}

asio::awaitable<void> Connection::run(std::shared_ptr<Connection> self) {
  try {
    Next next = Next::go_on;
    while (next == Next::go_on) {
      next = co_await self->serve_one();
    }
    if (self->unread_) {
      co_await self->linger();
    }
  } catch (const std::exception& e) {
    spdlog::error("a connection failed: {}", e.what());
  }
  self->abort();
}

}  // namespace rapid
