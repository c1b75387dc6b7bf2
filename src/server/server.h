// HTTP/1.1 and SSE over Boost.Beast, which stays inside server.cpp.
//
// Serves a RouteTable. Loopback by default. A client that leaves is noticed
// also while nothing is being sent. stop() lets open requests finish for
// drain_seconds, while new ones get a 503, then closes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/route.h"
#include "base/result.h"
#include "server/gate.h"

namespace rapid {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;           // 0 = any free one
  std::vector<int> sockets;  // that listen already; then no host and port
  std::vector<ApiKey> keys;  // none = open
  std::vector<std::string> cors_origins;
  std::vector<std::string> allow_hosts;
  std::string tls_cert;  // PEM files; "" = no TLS
  std::string tls_key;
  std::string access_log;  // a file, or "-"; "" = none
  size_t max_body_bytes = 64u << 20;
  double keepalive_seconds = 15;
  double body_timeout_seconds = 30;
  double drain_seconds = 10;
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
