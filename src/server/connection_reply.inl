// How a Connection sends a reply, and its whole life. Included once, by
// server.cpp.
#pragma once

#include "server/connection.inl"

namespace rapid {

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
    if (self->tls_) {
      const bool secure = co_await self->shake_hands();
      next = secure ? next : Next::close;
    }
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
