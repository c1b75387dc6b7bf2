// Connection: one client of the server. Included by server.cpp alone, so that
// Boost.Beast is compiled once.
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
#include <memory>
#include <set>
#include <string>

#include <boost/asio.hpp>
#include <boost/beast/http.hpp>

#include "base/log.h"
#include "server/exchange.h"
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
  asio::thread_pool workers;
  asio::io_context network{1};
  asio::steady_timer drain{network};
  std::set<Connection*> connections;
  bool stopping = false;
  uint64_t id_seed = 0;
  uint64_t next_id = 0;

  explicit ServerCore(const ServerOptions& o)
      : options(o), workers(static_cast<size_t>(std::max(o.threads, 1))) {}
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ServerCore& core, tcp::socket socket)
      : core_(core), socket_(std::move(socket)), timer_(core.network) {
    core_.connections.insert(this);
  }
  ~Connection() {
    core_.connections.erase(this);
    if (core_.stopping && core_.connections.empty()) {
      core_.drain.cancel();
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

 private:
  using Parser = http::request_parser<http::string_body>;
  enum class Next { go_on, close };
  // Why a request was refused before its handler ran.
  struct Refusal {
    int status = 0;
    Error error;
    HeaderList headers;
  };

  asio::awaitable<Next> serve_one();
  asio::awaitable<bool> read_header(Parser& parser, Refusal& refusal);
  asio::awaitable<bool> read_body(Parser& parser, Refusal& refusal);
  asio::awaitable<Next> refuse(
      Parser& parser, Refusal refusal, ErrorBody error_body);
  asio::awaitable<Next> respond(std::shared_ptr<Exchange> exchange);
  asio::awaitable<bool> write(std::string bytes);
  asio::awaitable<bool> wait_until(Clock::time_point deadline);
  asio::awaitable<void> linger();

  Refusal check(const Parser& parser, const RouteTable::Match& match) const;
  bool has_key(const Parser& parser) const;
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
  asio::steady_timer timer_;
  std::shared_ptr<Exchange> current_;
  std::array<char, 16384> chunk_;
  std::string input_;     // read, not yet parsed
  bool reading_ = false;  // a read is pending
  bool eof_ = false;      // the client sends no more: left, or half-closed
  bool unread_ = false;   // the last request was not read to its end
  bool lost_ = false;     // the socket is of no use any more
};

}  // namespace rapid
