#include "mcp/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/home.h"
#include "hub/text_file.h"

namespace rapid {

namespace {

using Variable = std::function<std::string(const std::string&)>;

std::string expanded(const std::string& text, const Variable& variable) {
  std::string out;
  size_t at = 0;
  while (true) {
    const size_t open = text.find("${", at);
    const size_t close =
        open == text.npos ? text.npos : text.find('}', open + 2);
    if (close == text.npos) {
      return out + text.substr(at);
    }
    out += text.substr(at, open - at) +
           variable(text.substr(open + 2, close - open - 2));
    at = close + 1;
  }
}

Error wrong(const std::string& server, const std::string& why) {
  return {
      ErrorCode::invalid_argument,
      fmt::format("MCP server {}: {}", server, why),
      "",
      server};
}

Result<std::map<std::string, std::string>> texts(
    const Json& entry,
    const char* key,
    const std::string& server,
    const Variable& variable) {
  std::map<std::string, std::string> out;
  const Json values = entry.value(key, Json::object());
  if (!values.is_object()) {
    return wrong(server, fmt::format("\"{}\" is not an object", key));
  }
  for (const auto& [name, value] : values.items()) {
    if (!value.is_string()) {
      return wrong(server, fmt::format("\"{}.{}\" is no text", key, name));
    }
    out[name] = expanded(value.get<std::string>(), variable);
  }
  return out;
}

Result<std::vector<std::string>> words(
    const Json& entry,
    const char* key,
    const std::string& server,
    const Variable& variable) {
  std::vector<std::string> out;
  const Json values = entry.value(key, Json::array());
  if (!values.is_array() || !std::ranges::all_of(values, [](const Json& v) {
        return v.is_string();
      })) {
    return wrong(server, fmt::format("\"{}\" is not a list of texts", key));
  }
  for (const Json& value : values) {
    out.push_back(expanded(value.get<std::string>(), variable));
  }
  return out;
}

Result<std::string> text_of(
    const Json& entry, const char* key, const std::string& server) {
  const Json value = entry.value(key, Json(""));
  if (!value.is_string()) {
    return wrong(server, fmt::format("\"{}\" is no text", key));
  }
  return value.get<std::string>();
}

Result<McpServerConfig> parse_server(
    const std::string& name, const Json& entry, const Variable& variable) {
  if (!entry.is_object()) {
    return wrong(name, "the entry is not an object");
  }
  McpServerConfig out{.name = name};
  RAPID_TRY(const std::string type, text_of(entry, "type", name));
  if (type == "sse") {
    return wrong(
        name, "the old SSE transport is not supported; use its /mcp address");
  }
  RAPID_TRY(out.command, text_of(entry, "command", name));
  RAPID_TRY(const std::string url, text_of(entry, "url", name));
  out.url = expanded(url, variable);
  if (out.command.empty() == out.url.empty()) {
    return wrong(name, "one of \"command\" and \"url\" is needed");
  }
  if (!out.url.empty() && !out.url.starts_with("http://") &&
      !out.url.starts_with("https://")) {
    return wrong(name, "\"url\" is neither http nor https");
  }
  RAPID_TRY(out.folder, text_of(entry, "cwd", name));
  RAPID_TRY(out.arguments, words(entry, "args", name, variable));
  RAPID_TRY(out.environment, texts(entry, "env", name, variable));
  RAPID_TRY(out.headers, texts(entry, "headers", name, variable));
  RAPID_TRY(out.always_allow, words(entry, "alwaysAllow", name, variable));
  const Json timeout = entry.value("timeout", Json(out.timeout));
  if (!timeout.is_number() || timeout.get<double>() <= 0) {
    return wrong(name, "\"timeout\" is not a number of seconds");
  }
  out.timeout = timeout.get<double>();
  return out;
}

bool is_off(const Json& entry) {
  return entry.is_object() &&
         (entry.value("disabled", Json(false)) == Json(true) ||
          entry.value("enabled", Json(true)) == Json(false));
}

}  // namespace

Result<McpConfig> parse_mcp_config(const Json& file, const Variable& variable) {
  const char* key = file.is_object() && file.contains("mcpServers")
                        ? "mcpServers"
                        : "servers";
  if (!file.is_object() || !file.contains(key) || !file.at(key).is_object()) {
    return Error{
        ErrorCode::invalid_argument,
        "expected an object with \"mcpServers\"",
        R"(for example {"mcpServers": {"files": {"command": "...", "args": []}}})"};
  }
  McpConfig out;
  for (const auto& [name, entry] : file.at(key).items()) {
    if (is_off(entry)) {
      continue;
    }
    auto server = parse_server(name, entry, variable);
    if (server) {
      out.servers.push_back(std::move(*server));
    } else {
      out.left_out.push_back(server.error());
    }
  }
  return out;
}

std::filesystem::path mcp_config_path(const std::string& path) {
  if (!path.empty()) {
    return path;
  }
  const char* named = std::getenv("RAPID_MLX_MCP_CONFIG");
  return named != nullptr && *named != '\0' ? std::filesystem::path(named)
                                            : home_dir() / "mcp.json";
}

Result<McpConfig> read_mcp_config(const std::filesystem::path& path) {
  RAPID_TRY(const Json file, read_json_file(path));
  auto out = parse_mcp_config(file, [](const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return std::string(value == nullptr ? "" : value);
  });
  if (!out) {
    Error error = out.error();
    error.what = path.string() + ": " + error.what;
    return error;
  }
  return out;
}

}  // namespace rapid
