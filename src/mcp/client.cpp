#include "mcp/client.h"

#include <fmt/format.h>

#include "base/clock.h"

namespace rapid {

namespace {

constexpr const char* kVersion = "2025-06-18";
constexpr double kStartSeconds = 60;  // a first run may install itself
constexpr int kMostPages = 100;

// What the server asks of us.
Json answer_to(const Json& message) {
  if (!message.contains("method") || !message.contains("id")) {
    return nullptr;
  }
  Json out = {{"jsonrpc", "2.0"}, {"id", message.at("id")}};
  if (message.at("method") == "ping") {
    out["result"] = Json::object();
  } else {
    out["error"] = {{"code", -32601}, {"message", "not offered"}};
  }
  return out;
}

ErrorCode code_of(int rpc) {
  return rpc == -32602   ? ErrorCode::invalid_argument
         : rpc == -32601 ? ErrorCode::not_found
                         : ErrorCode::io;
}

std::string text_member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : "";
}

std::string item_text(const Json& item) {
  const std::string type = text_member(item, "type");
  if (type == "text") {
    return text_member(item, "text");
  }
  const Json resource = item.value("resource", Json::object());
  if (type == "resource" && resource.is_object() && resource.contains("text")) {
    return text_member(resource, "text");
  }
  const std::string place =
      text_member(item, "uri").empty()
          ? text_member(resource.is_object() ? resource : Json::object(), "uri")
          : text_member(item, "uri");
  const std::string kind = text_member(item, "mimeType");
  return fmt::format(
      "[{}{}{}]",
      type.empty() ? "content" : type,
      kind.empty() ? "" : " " + kind,
      place.empty() ? "" : " " + place);
}

}  // namespace

std::string mcp_text(const Json& result) {
  std::string out;
  const Json content = result.value("content", Json::array());
  if (content.is_array()) {
    for (const Json& item : content) {
      if (item.is_object()) {
        out += (out.empty() ? "" : "\n") + item_text(item);
      }
    }
  }
  if (out.empty() && result.contains("structuredContent")) {
    out = dump_json(result.at("structuredContent"));
  }
  return out;
}

Result<std::unique_ptr<McpClient>> McpClient::start(
    const McpServerConfig& config,
    const std::filesystem::path& logs,
    const KeepGoing& keep_going) {
  if (!config.url.empty()) {
    return start(config, make_http_transport(config), keep_going);
  }
  const auto open = [config, log = logs / ("mcp-" + config.name + ".log")] {
    return start_stdio_transport(config, log);
  };
  RAPID_TRY(auto transport, open());
  RAPID_TRY(auto out, start(config, std::move(transport), keep_going));
  out->again_ = open;
  return out;
}

Result<std::unique_ptr<McpClient>> McpClient::start(
    const McpServerConfig& config,
    std::unique_ptr<McpTransport> transport,
    const KeepGoing& keep_going) {
  std::unique_ptr<McpClient> out(new McpClient(config, std::move(transport)));
  RAPID_CHECK(out->greet(keep_going));
  RAPID_CHECK(out->list(keep_going));
  return out;
}

Status McpClient::greet(const KeepGoing& keep_going) {
  RAPID_TRY(
      const Json reply,
      request(
          "initialize",
          {{"protocolVersion", kVersion},
           {"capabilities", Json::object()},
           {"clientInfo", {{"name", "rapid-mlx"}, {"version", "1"}}}},
          keep_going));
  const Json info = reply.value("serverInfo", Json::object());
  if (title_.empty()) {  // the second time others may be reading it
    title_ = info.is_object() ? text_member(info, "name") + " " +
                                    text_member(info, "version")
                              : config_.name;
  }
  transport_->agreed(text_member(reply, "protocolVersion"));
  return notify("notifications/initialized", Json::object());
}

Status McpClient::list(const KeepGoing& keep_going) {
  std::string cursor;
  for (int page = 0; page < kMostPages; ++page) {
    Json parameters = Json::object();
    if (!cursor.empty()) {
      parameters["cursor"] = cursor;
    }
    RAPID_TRY(const Json reply, request("tools/list", parameters, keep_going));
    for (const Json& tool : reply.value("tools", Json::array())) {
      if (!tool.is_object() || text_member(tool, "name").empty()) {
        continue;
      }
      const Json schema = tool.value("inputSchema", Json::object());
      const Json hints = tool.value("annotations", Json::object());
      tools_.push_back(
          {text_member(tool, "name"),
           text_member(tool, "description"),
           schema.is_object() ? schema : Json::object(),
           hints.is_object() &&
               hints.value("readOnlyHint", Json(false)) == Json(true)});
    }
    cursor = text_member(reply, "nextCursor");
    if (cursor.empty()) {
      return {};
    }
  }
  return Error{
      ErrorCode::io,
      fmt::format("MCP server {} lists tools without end", config_.name)};
}

Result<Json> McpClient::request(
    const char* method, const Json& parameters, const KeepGoing& going) {
  const int id = next_id_++;
  const bool starting = std::string_view(method) != "tools/call";
  const double limit =
      starting ? std::max(kStartSeconds, config_.timeout) : config_.timeout;
  const double end = now_seconds() + limit;
  const auto in_time = [&] {
    return now_seconds() < end && (!going || going());
  };
  auto reply = transport_->exchange(
      {{"jsonrpc", "2.0"},
       {"id", id},
       {"method", method},
       {"params", parameters}},
      in_time,
      answer_to);
  if (!reply) {
    if (reply.error().code != ErrorCode::cancelled) {
      return reply.error();
    }
    // Best effort: the server need not go on.
    (void)notify("notifications/cancelled", {{"requestId", id}});
    if (now_seconds() < end) {
      return reply.error();
    }
    return Error{
        ErrorCode::io,
        fmt::format(
            "MCP server {} did not answer {} in {} s",
            config_.name,
            method,
            limit),
        "\"timeout\" in mcp.json sets the time",
        config_.name};
  }
  if (reply->contains("error")) {
    const Json error = reply->at("error");
    const Json code = error.is_object() ? error.value("code", Json()) : Json();
    return Error{
        code_of(code.is_number_integer() ? code.get<int>() : 0),
        fmt::format(
            "MCP server {}: {}",
            config_.name,
            error.is_object() ? text_member(error, "message")
                              : dump_json(error)),
        "",
        config_.name};
  }
  return reply->value("result", Json::object());
}

Status McpClient::notify(const char* method, const Json& parameters) {
  const double end = now_seconds() + 1;
  RAPID_CHECK(transport_->exchange(
      {{"jsonrpc", "2.0"}, {"method", method}, {"params", parameters}},
      [end] { return now_seconds() < end; },
      answer_to));
  return {};
}

Status McpClient::revive(const KeepGoing& keep_going) {
  if (!transport_->ended() || !again_) {
    return {};
  }
  RAPID_TRY(transport_, again_());
  return greet(keep_going);
}

Result<McpResult> McpClient::call(
    const std::string& tool, const Json& arguments, const KeepGoing& going) {
  std::lock_guard lock(calls_);
  RAPID_CHECK(revive(going));
  RAPID_TRY(
      const Json reply,
      request("tools/call", {{"name", tool}, {"arguments", arguments}}, going));
  return McpResult{
      mcp_text(reply), reply.value("isError", Json(false)) == Json(true)};
}

}  // namespace rapid
