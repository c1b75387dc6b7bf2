// What `serve` and `replay --serve` share: where to listen, and waiting.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/server.h"

namespace CLI {
class App;
}

namespace rapid {

// As they stand on the command line.
struct ServerFlags {
  ServerOptions server;
  std::vector<std::string> api_keys;
  std::string api_keys_file;
  double max_body_mib = 64;

  // --host, --port, keys, --cors, --allow-host, TLS, limits, --access-log
  void add(CLI::App& app);
  // Keys are hashed, and what a service manager listens on is taken over.
  // Call it once.
  Result<ServerOptions> options() const;
};

// "http://127.0.0.1:8000", or https, for a client on this machine.
std::string url_of(const ServerOptions& server, int port);

// On stderr, when others reach the port and no key is asked for.
void warn_if_open(const ServerOptions& server, int port);

// " -H \"authorization: ...\"" for a curl command; "" without a key.
std::string curl_key(const ServerOptions& server);

// Something that the main thread waits for; a signal, for one.
class Wakeup {
 public:
  void notify() {
    {
      std::lock_guard lock(mutex_);
      ++events_;
    }
    changed_.notify_all();
  }
  template <typename Condition>
  void wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int events_ = 0;
};

}  // namespace rapid
