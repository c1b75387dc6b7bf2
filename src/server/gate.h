// Gate: what a request must pass before its route sees it. Not the network's
// business: plain texts in, a refusal or nothing out.
//
// - Host: a loopback name, the address it came in on, or an allowed name. A
//   web page of a domain that suddenly points to this machine (DNS rebinding)
//   has its own name there.
// - Origin: only a browser sends one. Its own pages and allowed ones.
// - Key: a bearer token or x-api-key whose SHA-256 is known. Each may have
//   limits of requests at once and per minute.
//
// Not for several threads: it belongs to the network thread.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "api/route.h"
#include "base/result.h"
#include "server/http_text.h"

namespace rapid {

struct ApiKey {
  std::string name;    // for logs
  std::string sha256;  // in hex
  int most_open = 0;   // requests at once; 0 = any number
  int per_minute = 0;
};

// One that is given as it is.
ApiKey plain_key(std::string_view secret, std::string name);

// Lines "SHA256 NAME [at-once=N] [per-minute=N]"; # begins a comment.
Result<std::vector<ApiKey>> read_api_keys(const std::filesystem::path& path);

struct GateOptions {
  std::vector<ApiKey> keys;               // none: open to all who get here
  std::vector<std::string> cors_origins;  // "*" = any
  std::vector<std::string> allow_hosts;   // "*" = any
  std::string host;                       // that the server listens on
};

// Why a request got no further. status 0: it did.
struct Refusal {
  int status = 0;
  Error error;
  HeaderList headers;
};

// What a request says about who sends it.
struct Caller {
  std::string host;
  std::string origin;
  std::string authorization;
  std::string api_key;  // x-api-key
  std::string local;    // the address that it came in on
};

class Gate {
 public:
  explicit Gate(GateOptions options);

  // Host and Origin.
  Refusal check(const Caller& caller) const;

  // The key of `caller`; on success `key` is its number and its limits count
  // the request until leave(key). Without keys it is kNoKey.
  static constexpr int kNoKey = -1;
  Refusal admit(const Caller& caller, double now, int& key);
  void leave(int key);

  std::string owner(int key) const;  // HttpRequest::owner
  const std::string& name(int key) const;

  // What a reply to an allowed origin says; nothing for others.
  HeaderList cors(const Caller& caller) const;
  // ... beside that, to the question before such a request.
  HeaderList preflight(
      const Caller& caller,
      std::string_view methods,
      std::string_view wanted_headers) const;

 private:
  struct Use {
    int open = 0;
    std::deque<double> starts;  // of the last minute
  };

  bool allowed_origin(const Caller& caller) const;

  GateOptions options_;
  std::vector<Use> uses_;
};

}  // namespace rapid
