// A scripted Backend and a ResponseStream that keeps what it is told.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/route.h"
#include "base/json.h"

namespace rapid {

// Runs the script inside submit(), on the caller's thread.
class FakeBackend : public Backend {
 public:
  using Script = std::function<void(const chat::Request&, const ChatSink&)>;

  FakeBackend() {
    card_.name = "org/tiny";
    card_.alias = "tiny";
    card_.path = "/models/tiny.gguf";
    card_.architecture = "toy";
    card_.format = "plain";
    card_.chat_style = "model";
    card_.context_length = 2048;
    card_.device = "cpu";
  }

  ModelCard card() const override { return card_; }
  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    requests.push_back(request);
    if (refusal) {
      return *refusal;
    }
    if (script) {
      script(request, sink);
    }
    return Ticket{7};
  }
  void cancel(Ticket ticket) override { cancelled.push_back(ticket); }
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const override {
    tokenised = request;
    return std::vector<std::vector<int32_t>>{
        tokens ? std::vector<int32_t>(tokens(request)) : std::vector{1, 2}};
  }
  std::shared_ptr<const TextCodec> codec() const override { return codec_; }
  EngineStats stats() const override { return stats_; }
  FrontStats front_stats() const override { return front_stats_; }

  Script script;
  std::function<size_t(const chat::Request&)> tokens;  // of a prompt
  std::optional<Error> refusal;
  std::vector<chat::Request> requests;
  std::vector<Ticket> cancelled;
  mutable chat::Request tokenised;
  std::shared_ptr<const TextCodec> codec_;
  EngineStats stats_;
  FrontStats front_stats_;
  ModelCard card_;
};

class FakeStream : public ResponseStream {
 public:
  void reply(int s, std::string b, std::string_view) override {
    status = s;
    body = std::move(b);
  }
  void header(std::string name, std::string value) override {
    headers[name] = value;
  }
  void start_events() override { started = true; }
  void note(std::string text) override { notes.push_back(std::move(text)); }
  void event(std::string_view data) override { events.emplace_back(data); }
  void named_event(std::string_view name, std::string_view data) override {
    names.emplace_back(name);
    events.emplace_back(data);
  }
  void start_lines() override { started = lines = true; }
  void line(std::string_view json) override { events.emplace_back(json); }
  void keepalive_event(
      std::string name, std::function<std::string()> data) override {
    keepalive = std::move(name) + " " + data();
    keepalive_data = std::move(data);
  }
  void end_events() override { ended = true; }
  bool events_begun() const override { return !events.empty(); }
  void on_disconnect(std::function<void()> callback) override {
    disconnect = std::move(callback);
  }

  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;
  bool started = false;
  bool ended = false;
  bool lines = false;
  std::vector<std::string> events;
  std::vector<std::string> names;  // of named events
  std::string keepalive;
  std::function<std::string()> keepalive_data;
  std::vector<std::string> notes;
  std::function<void()> disconnect;
};

// One call of one route.
struct Api {
  Api() {
    register_all_routes(table);
    context.set_backend(backend);
  }

  std::shared_ptr<FakeStream> call(
      const std::string& method,
      const std::string& path,
      const std::string& body = "") {
    const size_t mark = path.find('?');
    const std::string query =
        mark == std::string::npos ? "" : path.substr(mark + 1);
    const auto match = table.find(method, path.substr(0, mark));
    auto stream = std::make_shared<FakeStream>();
    if (match.route == nullptr) {
      stream->status = match.allowed.empty() ? 404 : 405;
      return stream;
    }
    const HttpRequest request{
        .method = method,
        .path = path.substr(0, mark),
        .query = query,
        .tail = match.tail,
        .body = body,
        .id = "r1"};
    match.route->handler(request, stream, context);
    return stream;
  }

  Json json(const std::shared_ptr<FakeStream>& stream) const {
    auto parsed = parse_json(stream->body);
    return parsed ? *parsed : Json();
  }

  RouteTable table;
  ApiContext context;
  std::shared_ptr<FakeBackend> backend = std::make_shared<FakeBackend>();
};

}  // namespace rapid
