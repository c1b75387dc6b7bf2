// A route: one path of one dialect. One .cpp = one dialect route file that
// defines register_route_<stem>(RouteTable&). The server knows routes only
// through this table; nothing here knows sockets.
//
// A handler runs on a server worker thread and returns soon; what it streams
// later goes through the ResponseStream, from any one thread at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/front.h"

namespace rapid {

struct HttpRequest {
  std::string method;  // "GET", "POST", ...
  std::string path;    // decoded, without the query
  std::string query;   // raw
  std::string tail;    // what a trailing "/*" in the route's path matched
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string id;      // request id, also sent back as x-request-id
};

// The reply under construction. Thread-safe; every call is a no-op once the
// client has gone.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;

  // A whole reply.
  virtual void reply(
      int status, std::string body, std::string_view content_type) = 0;
  // More headers for the reply; before reply() or start_events().
  virtual void header(std::string name, std::string value) = 0;

  // A text/event-stream reply; while nothing is sent for the keep-alive time
  // the server sends ": keepalive" comments by itself.
  virtual void start_events() = 0;
  virtual void event(std::string_view data) = 0;       // one data: line
  virtual void named_event(
      std::string_view name, std::string_view data) = 0;
  virtual void end_events() = 0;

  // Called once, on any thread, when the client leaves before the end.
  virtual void on_disconnect(std::function<void()> callback) = 0;
};

struct ApiContext {
  std::shared_ptr<Front> front;  // null while the model loads
  double started_seconds = 0;
};

using RouteHandler = std::function<void(
    const HttpRequest&, std::shared_ptr<ResponseStream>, ApiContext&)>;

enum class Auth { open, key };  // key: needs the API key if one is set

// The shape of this dialect's errors.
using ErrorBody = std::string (*)(int status, const Error& error);

struct Route {
  std::string method;
  std::string path;  // exact, or ending in "/*"
  Auth auth = Auth::key;
  RouteHandler handler;
  ErrorBody error_body = nullptr;
  std::string summary;  // one line for docs
};

class RouteTable {
 public:
  // Throws std::logic_error on a duplicate or a route without a handler.
  void add(Route route);
  const std::vector<Route>& routes() const { return routes_; }

  // The route, or the methods that the path does allow (404 when empty).
  struct Match {
    const Route* route = nullptr;
    std::string tail;
    std::vector<std::string> allowed;
  };
  Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

void register_all_routes(RouteTable& table);  // generated

int http_status(ErrorCode code);

}  // namespace rapid
