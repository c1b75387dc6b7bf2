// An MCP server on two files, one JSON message a line (the stdio transport).
// Protocol versions 2024-11-05 to 2025-06-18. Single-threaded: a call runs to
// its end before the next message is read.
//
//   McpServer server("rapid-mlx", "0.1.0", tools);
//   server.run(0, 1);  // until the input ends
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "mcp/client.h"

namespace rapid {

struct McpServedTool {
  McpTool tool;
  // An Error is told to the model as the tool's failure.
  std::function<Result<std::string>(const Json& arguments)> run;
};

class McpServer {
 public:
  McpServer(
      std::string name, std::string version, std::vector<McpServedTool> tools);

  // The reply to one message; null where none is due.
  Json reply(const Json& message) const;
  // Reads and answers until the end of `in`. Errors: io.
  Status run(int in, int out) const;

 private:
  Json call(const Json& parameters) const;
  Json handle(const std::string& method, const Json& parameters) const;

  std::string name_;
  std::string version_;
  std::vector<McpServedTool> tools_;
};

}  // namespace rapid
