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
#include <type_traits>
#include <utility>
#include <vector>

#include "api/backend.h"
#include "api/backends.h"
#include "api/background.h"
#include "base/result.h"

namespace rapid {

class ActivityLog;
class HostedTools;
class ResponseStore;

struct HttpRequest {
  std::string method;  // "GET", "POST", ...
  std::string path;    // decoded, without the query
  std::string query;   // raw
  std::string tail;    // what the open part of the route's path stands for
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string id;     // request id, also sent back as x-request-id
  std::string owner;  // of the API key that it came with; "" = no keys
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
  // The same with one JSON text a line (application/x-ndjson): start_lines(),
  // line() without its line break, end_events(). Its keep-alives are blanks
  // before the next line, which every JSON reader skips.
  virtual void start_lines() = 0;
  virtual void line(std::string_view json) = 0;
  // Keep-alives are this event from now on, not comments. `data` is called on
  // the network thread, must be fast and must not touch the stream, nor own
  // it; when it gives "", there is a comment after all.
  virtual void keepalive_event(
      std::string name, std::function<std::string()> data) = 0;
  // What the next keep-alive comments say, one short line.
  virtual void note(std::string) {}
  // True once the head of an event stream has left: too late for reply().
  virtual bool events_begun() const = 0;

  // Called once, on any thread but never from inside a call above, when the
  // client leaves before the end; at once if it has left already.
  virtual void on_disconnect(std::function<void()> callback) = 0;
};

// What all handlers share. Any thread.
class ApiContext {
 public:
  ApiContext();

  // Null until the server knows its models.
  std::shared_ptr<Backends> models() const {
    std::lock_guard lock(mutex_);
    return models_;
  }
  void set_models(std::shared_ptr<Backends> models) {
    std::lock_guard lock(mutex_);
    models_.swap(models);
  }

  // The default one, or null. Routes that a request names a model to use
  // backend_for().
  std::shared_ptr<Backend> backend() const {
    const auto known = models();
    return known ? known->find("") : nullptr;
  }
  // The only one.
  void set_backend(std::shared_ptr<Backend> backend) {
    set_models(backend ? only_backend(std::move(backend)) : nullptr);
  }

  // The tools that are run here, or null: none, or not yet.
  std::shared_ptr<const HostedTools> hosted_tools() const {
    std::lock_guard lock(mutex_);
    return hosted_tools_;
  }
  void set_hosted_tools(std::shared_ptr<const HostedTools> tools) {
    std::lock_guard lock(mutex_);
    hosted_tools_.swap(tools);
  }

  // Set before the server starts.
  double started_seconds = 0;
  std::string version = "dev";
  bool tools_expected = false;               // hosted tools will come
  std::shared_ptr<ResponseStore> responses;  // never null; else in memory
  std::shared_ptr<ActivityLog> activity;     // never null

  Background background;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Backends> models_;
  std::shared_ptr<const HostedTools> hosted_tools_;
};

using RouteHandler = std::function<void(
    const HttpRequest&, std::shared_ptr<ResponseStream>, ApiContext&)>;

enum class Auth { open, key };  // key: needs the API key if one is set

// The shape of this dialect's errors.
using ErrorBody = std::string (*)(int status, const Error& error);

struct Route {
  std::string method;
  // Exact; or with a "{name}" for one segment, or ending in "/*" for any more:
  // what either stands for is the request's tail.
  std::string path;
  Auth auth = Auth::key;
  RouteHandler handler;
  ErrorBody error_body = nullptr;  // null: standard_error_body
  // For docs (openapi.h): JSON Schemas of body and reply, the content type
  // of a streamed reply, and what the query may have.
  Json (*body)() = nullptr;
  Json (*reply)() = nullptr;
  const char* stream = nullptr;
  std::vector<const char*> query = {};
  std::string summary;  // one line for docs
};

class RouteTable {
 public:
  // Throws std::logic_error on a duplicate or a route without a handler.
  void add(Route route);
  const std::vector<Route>& routes() const { return routes_; }

  // The route, or the methods that the path does allow (404 when empty).
  // An exact path wins over a pattern, a longer pattern over a shorter. HEAD is
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

// What went wrong and what to do about it, in sentences.
std::string error_message(const Error& error);

// {"error": {"message", "type", "code", "param"}}. An Error's param "body"
// means the body as a whole and goes out as null.
std::string standard_error_body(int status, const Error& error);

// Replies with http_status and the dialect's shape; inside an event stream
// whose head has left, sends the error as an event and ends it.
void reply_error(
    ResponseStream& stream, const Error& error, ErrorBody error_body);

// A handler out of a function that returns what kept it from answering, which
// is then the reply. The function takes the stream itself when it is done with
// it at once, else a shared pointer.
template <typename Answer>
RouteHandler answering(
    Answer answer, ErrorBody error_body = standard_error_body) {
  return [answer, error_body](
             const HttpRequest& http,
             const std::shared_ptr<ResponseStream>& stream,
             ApiContext& context) {
    const auto done = [&]() -> Status {
      if constexpr (std::is_invocable_v<
                        Answer,
                        const HttpRequest&,
                        ResponseStream&,
                        ApiContext&>) {
        return answer(http, *stream, context);
      } else {
        return answer(http, stream, context);
      }
    }();
    if (!done) {
      reply_error(*stream, done.error(), error_body);
    }
  };
}

}  // namespace rapid
