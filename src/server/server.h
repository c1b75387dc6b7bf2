// HTTP/1.1 and SSE over Boost.Beast, which stays inside server.cpp.
//
// Serves a RouteTable. Loopback by default. A client that leaves is noticed
// also while nothing is being sent. stop() ends the accept loop, lets open
// requests finish for drain_seconds, then closes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/route.h"
#include "base/result.h"

namespace rapid {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;      // 0 = any free one
  std::string api_key;  // "" = open
  size_t max_body_bytes = 64u << 20;
  double keepalive_seconds = 15;
  double body_timeout_seconds = 30;
  double drain_seconds = 5;
  int threads = 4;
};

class Server {
 public:
  // Binds and listens. Errors: io with a hint when the port is taken.
  static Result<std::unique_ptr<Server>> start(
      const RouteTable& routes,
      std::shared_ptr<ApiContext> context,
      const ServerOptions& options);
  ~Server();

  int port() const;
  void stop();  // any thread, also a signal-watching one
  void wait();  // returns after stop()

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rapid
