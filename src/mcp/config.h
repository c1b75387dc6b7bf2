// mcp.json: which MCP servers there are, in the form that other programs use:
//
//   {"mcpServers": {
//      "files": {"command": "npx", "args": ["-y", "server-files", "/tmp"]},
//      "notes": {"url": "http://127.0.0.1:9000/mcp",
//                "headers": {"Authorization": "Bearer ${NOTES_KEY}"}}}}
//
// Also read: "servers" for "mcpServers"; of a server env, cwd, type, timeout
// (seconds), disabled or enabled, alwaysAllow (names of tools that need no
// consent). ${NAME} in values of env, headers, args and url is a variable of
// ours. An entry that is wrong is left out and told, the others stay.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct McpServerConfig {
  std::string name;
  // One of command and url.
  std::string command;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::string folder;  // where the command runs; "" = here
  std::string url;
  std::map<std::string, std::string> headers;
  double timeout = 60;  // seconds, of one call
  std::vector<std::string> always_allow;
};

struct McpConfig {
  std::vector<McpServerConfig> servers;
  std::vector<Error> left_out;  // each names its server
};

// Errors: invalid_argument, when the whole is not such a file.
Result<McpConfig> parse_mcp_config(
    const Json& file,
    const std::function<std::string(const std::string&)>& variable);

// `path`, else $RAPID_MLX_MCP_CONFIG, else mcp.json in $RAPID_MLX_HOME. Never
// a file of the folder we happen to be in: others may have put it there.
std::filesystem::path mcp_config_path(const std::string& path);

// Errors: those of reading and parsing, naming the file.
Result<McpConfig> read_mcp_config(const std::filesystem::path& path);

}  // namespace rapid
