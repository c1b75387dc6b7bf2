// One POST of a small JSON body with libcurl, for protocols over HTTP. Proxies
// and time limits as in http_get.h; redirects are not followed.
//
// Errors: io (no connection), unsupported (no libcurl), cancelled, too_large.
// A status of 400 and above is no error: see HttpPostReply.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rapid {

struct HttpPost {
  std::string url;
  std::map<std::string, std::string> headers;
  std::string body;
  size_t limit = size_t{64} << 20;  // of the reply's body
};

struct HttpPostReply {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// `keep_going` is polled about every second. `enough` looks at the body so
// far; true ends the transfer there (a stream that would go on).
Result<HttpPostReply> http_post(
    const HttpPost& request,
    const std::function<bool()>& keep_going,
    const std::function<bool(const HttpPostReply&)>& enough = {});

}  // namespace rapid
