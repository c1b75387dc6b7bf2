// A session with one MCP server (protocol 2025-06-18 and before): its tools,
// and calls of them. Offers the server nothing: no sampling, no roots.
//
// Thread-safe; calls of one server run one after another.
//
//   RAPID_TRY(auto client, McpClient::start(config, logs, keep_going));
//   RAPID_TRY(auto result, client->call("read", {{"path", "/a"}}, keep_going));
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "mcp/config.h"
#include "mcp/transport.h"

namespace rapid {

struct McpTool {
  std::string name;
  std::string description;
  Json schema = Json::object();
  bool read_only = false;  // as the server says
};

struct McpResult {
  std::string text;  // what a model can read of it
  bool is_error = false;
};

class McpClient {
 public:
  using KeepGoing = McpTransport::KeepGoing;

  // Starts or reaches the server, agrees on a version, lists its tools. A
  // command that ended is started again by the next call.
  // `logs`: a folder for what commands print on stderr. Errors name the server.
  static Result<std::unique_ptr<McpClient>> start(
      const McpServerConfig& config,
      const std::filesystem::path& logs,
      const KeepGoing& keep_going);
  // Over a transport of the caller's.
  static Result<std::unique_ptr<McpClient>> start(
      const McpServerConfig& config,
      std::unique_ptr<McpTransport> transport,
      const KeepGoing& keep_going);

  const McpServerConfig& config() const { return config_; }
  const std::string& title() const { return title_; }  // name and version
  const std::vector<McpTool>& tools() const { return tools_; }

  // Errors: cancelled, io (also after the configured time), not_found and
  // invalid_argument as the server has it. A tool that fails is no error.
  Result<McpResult> call(
      const std::string& tool, const Json& arguments, const KeepGoing& going);

 private:
  McpClient(McpServerConfig config, std::unique_ptr<McpTransport> transport)
      : config_(std::move(config)), transport_(std::move(transport)) {}

  Status greet(const KeepGoing& keep_going);
  Status revive(const KeepGoing& keep_going);
  Status list(const KeepGoing& keep_going);
  Result<Json> request(
      const char* method, const Json& parameters, const KeepGoing& going);
  Status notify(const char* method, const Json& parameters);

  McpServerConfig config_;
  std::unique_ptr<McpTransport> transport_;
  std::function<Result<std::unique_ptr<McpTransport>>()> again_;  // or null
  std::string title_;
  std::vector<McpTool> tools_;
  std::mutex calls_;  // one after another
  int next_id_ = 1;
};

// Any content as text: texts one after another, what is no text by name.
std::string mcp_text(const Json& result);

}  // namespace rapid
