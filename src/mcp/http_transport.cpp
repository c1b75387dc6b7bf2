#include <fmt/format.h>

#include "hub/http_post.h"
#include "mcp/transport.h"

namespace rapid {

namespace {

// The data of each whole event in a text/event-stream.
std::vector<std::string> event_data(std::string_view stream) {
  std::vector<std::string> out;
  std::string data;
  while (true) {
    const size_t end = stream.find('\n');
    if (end == stream.npos) {
      return out;
    }
    std::string_view line = stream.substr(0, end);
    stream.remove_prefix(end + 1);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    if (line.empty()) {
      if (!data.empty()) {
        out.push_back(std::move(data));
        data.clear();
      }
    } else if (line.starts_with("data:")) {
      line.remove_prefix(5);
      if (line.starts_with(' ')) {
        line.remove_prefix(1);
      }
      data += (data.empty() ? "" : "\n") + std::string(line);
    }
  }
}

std::vector<Json> messages_of(const HttpPostReply& reply) {
  const auto type = reply.headers.find("content-type");
  std::vector<std::string> texts = {reply.body};
  if (type != reply.headers.end() &&
      type->second.starts_with("text/event-stream")) {
    texts = event_data(reply.body);
  }
  std::vector<Json> out;
  for (const std::string& text : texts) {
    const auto message = parse_json(text);
    if (message && message->is_object()) {
      out.push_back(*message);
    }
  }
  return out;
}

bool answers(const Json& message, const Json& id) {
  return !message.contains("method") && message.value("id", Json()) == id;
}

class HttpTransport final : public McpTransport {
 public:
  explicit HttpTransport(McpServerConfig server) : server_(std::move(server)) {}

  Result<Json> exchange(
      const Json& message,
      const KeepGoing& keep_going,
      const OnOther& on_other) override {
    const Json id = message.value("id", Json());
    RAPID_TRY(
        const HttpPostReply reply,
        http_post(
            request(message), keep_going, [&](const HttpPostReply& so_far) {
              for (const Json& each : messages_of(so_far)) {
                if (!id.is_null() && answers(each, id)) {
                  return true;
                }
              }
              return false;
            }));
    if (reply.status >= 400) {
      return Error{
          reply.status == 401 ? ErrorCode::unauthorized : ErrorCode::io,
          fmt::format(
              "MCP server {} answered HTTP {}: {}",
              server_.name,
              reply.status,
              reply.body.substr(0, 200)),
          reply.status == 401 ? "set its headers in mcp.json" : "",
          server_.name};
    }
    if (const auto session = reply.headers.find("mcp-session-id");
        session != reply.headers.end()) {
      session_ = session->second;
    }
    if (id.is_null()) {
      return Json();
    }
    for (const Json& each : messages_of(reply)) {
      if (answers(each, id)) {
        return each;
      }
      if (const Json answer = on_other(each); !answer.is_null()) {
        RAPID_CHECK(http_post(request(answer), keep_going));
      }
    }
    return Error{
        ErrorCode::io,
        fmt::format("MCP server {} sent no reply", server_.name),
        "",
        server_.name};
  }

  void agreed(const std::string& version) override { version_ = version; }

 private:
  HttpPost request(const Json& message) const {
    HttpPost out{server_.url, server_.headers, dump_json(message)};
    out.headers["Content-Type"] = "application/json";
    out.headers["Accept"] = "application/json, text/event-stream";
    if (!session_.empty()) {
      out.headers["Mcp-Session-Id"] = session_;
    }
    if (!version_.empty()) {
      out.headers["MCP-Protocol-Version"] = version_;
    }
    return out;
  }

  McpServerConfig server_;
  std::string session_;
  std::string version_;
};

}  // namespace

std::unique_ptr<McpTransport> make_http_transport(
    const McpServerConfig& server) {
  return std::make_unique<HttpTransport>(server);
}

}  // namespace rapid
