// --mcp and its kin of `serve` and `replay --serve`: the tools that the server
// runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/hosted_tools.h"

namespace CLI {
class App;
}

namespace rapid {

struct HostedToolsFlags {
  bool on = false;
  std::string config;  // "" = the usual place
  std::vector<std::string> allow;
  ToolLimits limits;

  void add(CLI::App& app);
  // Starts or reaches the MCP servers; null without --mcp. Servers that do not
  // answer are told on stderr, and that nothing may run. Errors: those of the
  // file.
  Result<std::shared_ptr<const HostedTools>> open(
      const McpClient::KeepGoing& keep_going) const;
};

}  // namespace rapid
