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
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/backend.h"
#include "base/result.h"

namespace rapid {

struct HttpRequest {
  std::string method;  // "GET", "POST", ...
  std::string path;    // decoded, without the query
  std::string query;   // raw
  std::string tail;    // what a trailing "/*" in the route's path matched
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string id;  // request id, also sent back as x-request-id
};

// The reply under construction. Thread-safe, never blocks; every call is a
// no-op once the client has gone. When its last owner lets go of it before
// the end, the server answers 500 or cuts the stream.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;

  // A whole reply.
  virtual void reply(
      int status, std::string body, std::string_view content_type) = 0;
  // More headers for the reply; before reply() or start_events().
  virtual void header(std::string name, std::string value) = 0;

  // A text/event-stream reply; while nothing is sent for the keep-alive time
  // the server sends ": keepalive" comments by itself. The head leaves with
  // the first event or after a second of silence: until then reply() may
  // still answer with an error instead, and returns as usual.
  virtual void start_events() = 0;
  virtual void event(std::string_view data) = 0;  // one data: line
  virtual void named_event(std::string_view name, std::string_view data) = 0;
  virtual void end_events() = 0;
  // True once the head of an event stream has left: too late for reply().
  virtual bool events_begun() const = 0;

  // Called once, on any thread but never from inside a call above, when the
  // client leaves before the end; at once if it has left already.
  virtual void on_disconnect(std::function<void()> callback) = 0;
};

// What all handlers share. Any thread.
class ApiContext {
 public:
  // Null while the model loads.
  std::shared_ptr<Backend> backend() const {
    std::lock_guard lock(mutex_);
    return backend_;
  }
  void set_backend(std::shared_ptr<Backend> backend) {
    std::lock_guard lock(mutex_);
    backend_.swap(backend);
  }

  // Set before the server starts.
  double started_seconds = 0;
  std::string version = "dev";

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Backend> backend_;
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
  ErrorBody error_body = nullptr;  // null: standard_error_body
  std::string summary;             // one line for docs
};

class RouteTable {
 public:
  // Throws std::logic_error on a duplicate or a route without a handler.
  void add(Route route);
  const std::vector<Route>& routes() const { return routes_; }

  // The route, or the methods that the path does allow (404 when empty).
  // An exact path wins over "/*", a longer "/*" over a shorter one. HEAD is
  // answered by GET. error_body is never null.
  struct Match {
    const Route* route = nullptr;
    std::string tail;
    std::vector<std::string> allowed;
    ErrorBody error_body = nullptr;
  };
  Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

void register_all_routes(RouteTable& table);  // generated

int http_status(ErrorCode code);

// {"error": {"message", "type", "code", "param"}}. An Error's param "body"
// means the body as a whole and goes out as null.
std::string standard_error_body(int status, const Error& error);

// Replies with http_status and the dialect's shape; inside an event stream
// whose head has left, sends the error as an event and ends it.
void reply_error(
    ResponseStream& stream, const Error& error, ErrorBody error_body);

}  // namespace rapid
