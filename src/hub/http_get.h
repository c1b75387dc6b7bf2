// libcurl as src/hub uses it: one GET, into a sink, with the settings that
// every request shares (proxies from the environment, time limits, redirects
// that never carry the bearer to another host).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "base/result.h"

namespace rapid {

struct HttpGet {
  std::string url;
  std::string bearer;        // "" = none
  uint64_t resume_from = 0;  // Range, when not 0
  std::string if_range;      // ETag that the range belongs to
  uint64_t range_end = 0;    // behind the last byte; 0 = to the end
};

struct HttpReply {
  long status = 0;
  std::map<std::string, std::string> headers;  // lower-case, of the last hop
  std::string linked_etag;  // what a redirecting hop said of the real file
};

struct HttpSink {
  // Before the first body byte; an error stops the transfer.
  std::function<Status(const HttpReply&)> begin;
  std::function<Status(std::span<const std::byte>)> body;
  std::function<bool()> keep_going;  // polled at least once a second
};

struct HttpOutcome {
  HttpReply reply;
  bool transient = false;  // worth another try
  Status status;           // transport, HTTP status >= 400, sink or cancel
};

HttpOutcome http_get(const HttpGet& request, const HttpSink& sink);

// A small text, such as an API's JSON; over `limit` bytes is too_large.
Result<std::string> http_get_text(
    const std::string& url,
    const std::string& bearer,
    const std::function<bool()>& keep_going,
    uint64_t limit = uint64_t{64} << 20);

}  // namespace rapid
