#include "mcp/server.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace rapid {

namespace {

constexpr std::array<std::string_view, 3> kVersions = {
    "2025-06-18", "2025-03-26", "2024-11-05"};
constexpr size_t kMaxLine = size_t{64} << 20;

struct RpcError {
  int code = 0;
  std::string what;
};

Status write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(file, text.data(), text.size());
    if (wrote > 0) {
      text.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno != EINTR) {
      return Error{
          ErrorCode::io, fmt::format("cannot write: {}", std::strerror(errno))};
    }
  }
  return {};
}

Json failure(const Json& id, int code, const std::string& what) {
  return {
      {"jsonrpc", "2.0"},
      {"id", id},
      {"error", {{"code", code}, {"message", what}}}};
}

}  // namespace

McpServer::McpServer(
    std::string name, std::string version, std::vector<McpServedTool> tools)
    : name_(std::move(name)),
      version_(std::move(version)),
      tools_(std::move(tools)) {}

Json McpServer::reply(const Json& message) const {
  const Json id = message.is_object() ? message.value("id", Json()) : Json();
  if (!message.is_object() || !message.contains("method") ||
      !message.at("method").is_string()) {
    // Replies to us have a result; we ask nothing.
    return message.is_object() &&
                   (message.contains("result") || message.contains("error"))
               ? Json()
               : failure(id, -32600, "not a JSON-RPC request");
  }
  if (!message.contains("id")) {
    return nullptr;
  }
  const Json parameters = message.value("params", Json::object());
  try {
    Json result = handle(message.at("method").get<std::string>(), parameters);
    return {{"jsonrpc", "2.0"}, {"id", id}, {"result", std::move(result)}};
  } catch (const RpcError& error) {
    return failure(id, error.code, error.what);
  }
}

Json McpServer::handle(
    const std::string& method, const Json& parameters) const {
  if (method == "initialize") {
    const Json asked = parameters.is_object()
                           ? parameters.value("protocolVersion", Json())
                           : Json();
    std::string_view version = kVersions[0];
    for (const std::string_view known : kVersions) {
      version = asked == known ? known : version;
    }
    return {
        {"protocolVersion", version},
        {"capabilities", {{"tools", Json::object()}}},
        {"serverInfo", {{"name", name_}, {"version", version_}}}};
  }
  if (method == "ping") {
    return Json::object();
  }
  if (method == "tools/list") {
    Json tools = Json::array();
    for (const McpServedTool& served : tools_) {
      tools.push_back(
          {{"name", served.tool.name},
           {"description", served.tool.description},
           {"inputSchema", served.tool.schema},
           {"annotations", {{"readOnlyHint", served.tool.read_only}}}});
    }
    return {{"tools", tools}};
  }
  if (method == "tools/call") {
    return call(parameters);
  }
  throw RpcError{-32601, "there is no method " + method};
}

Json McpServer::call(const Json& parameters) const {
  const Json name =
      parameters.is_object() ? parameters.value("name", Json()) : Json();
  const auto served = std::ranges::find_if(
      tools_,
      [&](const McpServedTool& each) { return name == each.tool.name; });
  if (served == tools_.end()) {
    throw RpcError{-32602, "there is no tool " + dump_json(name)};
  }
  const Json arguments = parameters.value("arguments", Json::object());
  const auto result =
      arguments.is_object()
          ? served->run(arguments)
          : Result<std::string>(Error{
                ErrorCode::invalid_argument, "arguments is not an object"});
  const std::string text =
      result
          ? *result
          : result.error().what +
                (result.error().hint.empty() ? "" : "; " + result.error().hint);
  return {
      {"content", Json::array({{{"type", "text"}, {"text", text}}})},
      {"isError", !result}};
}

Status McpServer::run(int in, int out) const {
  std::string buffer;
  while (true) {
    const size_t end = buffer.find('\n');
    if (end == buffer.npos) {
      char bytes[16384];
      const ssize_t got = ::read(in, bytes, sizeof(bytes));
      if (got == 0) {
        return {};
      }
      if (got < 0 && errno != EINTR) {
        return Error{
            ErrorCode::io,
            fmt::format("cannot read: {}", std::strerror(errno))};
      }
      buffer.append(bytes, got > 0 ? static_cast<size_t>(got) : 0);
      if (buffer.size() > kMaxLine) {
        return Error{ErrorCode::too_large, "a message is over 64 MiB long"};
      }
      continue;
    }
    const std::string line = buffer.substr(0, end);
    buffer.erase(0, end + 1);
    if (line.find_first_not_of(" \t\r") == line.npos) {
      continue;
    }
    const auto message = parse_json(line);
    const Json answer =
        message ? reply(*message) : failure(nullptr, -32700, "not JSON");
    if (!answer.is_null()) {
      RAPID_CHECK(write_all(out, dump_json(answer) + "\n"));
    }
  }
}

}  // namespace rapid
