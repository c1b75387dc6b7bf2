// Connection: one client of the server. Included by server.cpp alone, so that
// Boost.Beast is compiled once.
//
// With TLS, the same over a stream around the socket.
//
// Everything here runs on the one network thread; handlers run on the worker
// pool and reach back only through Exchange::wake, which posts. The socket is
// read all the time by pump(), so a client that leaves is seen also while a
// handler works; what it sends early (pipelining) waits in input_.
#pragma once

// TSan does not know fences; asio's own locks order what they would order.
#ifdef __SANITIZE_THREAD__
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#endif

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/http.hpp>

#include "base/log.h"
#include "server/access_log.h"
#include "server/exchange.h"
#include "server/gate.h"
#include "server/http_text.h"
#include "server/server.h"

namespace rapid {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

inline Clock::duration seconds_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(seconds));
}

class Connection;

// What connections share with the server that made them.
struct ServerCore {
  ServerOptions options;
  RouteTable routes;
  std::shared_ptr<ApiContext> context;
  Gate gate;
  AccessLog access;
  std::optional<asio::ssl::context> tls;
  asio::thread_pool workers;
  asio::io_context network{1};
  asio::steady_timer limit{network};  // of stopping
  std::set<Connection*> connections;
  int open_requests = 0;
  bool stopping = false;          // no new requests any more
  bool stopped = false;           // ... and none is open
  std::function<void()> drained;  // the last open request ended
  uint64_t id_seed = 0;
  uint64_t next_id = 0;

  explicit ServerCore(const ServerOptions& o)
      : options(o),
        gate({o.keys, o.cors_origins, o.allow_hosts, o.host}),
        workers(static_cast<size_t>(std::max(o.threads, 1))) {}
};

// A request that was let in, until its reply is out.
class OpenRequest {
 public:
  OpenRequest(ServerCore& core, int key) : core_(core), key_(key) {
    ++core_.open_requests;
  }
  ~OpenRequest() {
    core_.gate.leave(key_);
    if (--core_.open_requests == 0 && core_.stopping) {
      core_.drained();
    }
  }
  OpenRequest(const OpenRequest&) = delete;
  OpenRequest& operator=(const OpenRequest&) = delete;

 private:
  ServerCore& core_;
  int key_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ServerCore& core, tcp::socket socket);
  ~Connection() {
    core_.connections.erase(this);
    if (core_.stopped && core_.connections.empty()) {
      core_.limit.cancel();
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  static asio::awaitable<void> run(std::shared_ptr<Connection> self);
  void wake() { timer_.cancel(); }
  // The exchange has news. A write to a reader too slow would never end.
  void look() {
    if (current_ != nullptr && current_->overflow()) {
      abort();
    }
    wake();
  }
  void abort() {
    error_code ignored;
    lost_ = true;
    socket_.close(ignored);
    wake();
  }

  // Since when it waits for a request; none: it serves one.
  const std::optional<Clock::time_point>& idle_since() const {
    return idle_since_;
  }

 private:
  using Parser = http::request_parser<http::string_body>;
  enum class Next { go_on, close };
  enum class Handshake { pending, done, failed };

  asio::awaitable<bool> shake_hands();
  asio::awaitable<Next> serve_one();
  asio::awaitable<bool> read_header(Parser& parser, Refusal& refusal);
  asio::awaitable<bool> read_body(Parser& parser, Refusal& refusal);
  asio::awaitable<Next> refuse(
      Parser& parser, Refusal refusal, ErrorBody error_body, AccessEntry entry);
  asio::awaitable<Next> respond(std::shared_ptr<Exchange> exchange);
  asio::awaitable<void> go_on(Parser& parser, Refusal& refusal);
  asio::awaitable<bool> write(std::string bytes);
  asio::awaitable<bool> wait_until(Clock::time_point deadline);
  asio::awaitable<void> linger();

  static Refusal check_framing(const Parser& parser);
  Refusal check(const Parser& parser, const RouteTable::Match& match, int& key);
  Refusal no_route(const Parser& parser, const RouteTable::Match& match) const;
  Caller caller_of(const Parser& parser) const;
  void log(const Exchange& exchange, AccessEntry entry) const;
  std::shared_ptr<Exchange> make_exchange(
      const Parser& parser, bool keep_alive, ErrorBody error_body);
  void start_handler(
      const Route& route,
      HttpRequest request,
      const std::shared_ptr<Exchange>& exchange);
  bool feed(Parser& parser, Refusal& refusal);
  void pump();
  std::string new_id();

  ServerCore& core_;
  tcp::socket socket_;
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;
  Handshake handshake_ = Handshake::pending;
  const bool late_;     // it came while the server stops
  std::string remote_;  // address of the client
  std::string local_;   // ... and the one it came in on
  asio::steady_timer timer_;
  std::shared_ptr<Exchange> current_;
  std::array<char, 16384> chunk_;
  std::string input_;     // read, not yet parsed
  bool reading_ = false;  // a read is pending
  bool eof_ = false;      // the client sends no more: left, or half-closed
  bool unread_ = false;   // the last request was not read to its end
  bool lost_ = false;     // the socket is of no use any more
  size_t sent_ = 0;       // bytes of the reply
  std::optional<Clock::time_point> idle_since_;  // waits for a request
};

}  // namespace rapid
