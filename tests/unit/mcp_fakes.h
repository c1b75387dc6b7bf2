// MCP clients whose servers are our own, in this process.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "mcp/server.h"
#include "mcp/tool_box.h"

namespace rapid {

class LoopTransport final : public McpTransport {
 public:
  explicit LoopTransport(std::vector<McpServedTool> tools)
      : server_("us", "1", std::move(tools)) {}
  Result<Json> exchange(
      const Json& message,
      const KeepGoing& keep_going,
      const OnOther& on_other) override {
    if (!keep_going()) {
      return Error{ErrorCode::cancelled, "stopped"};
    }
    // Servers may ask in between.
    EXPECT_EQ(
        on_other({{"id", 9}, {"method", "ping"}})["result"], Json::object());
    EXPECT_TRUE(
        on_other({{"id", 9}, {"method", "roots/list"}}).contains("error"));
    EXPECT_TRUE(on_other({{"method", "notifications/message"}}).is_null());
    return server_.reply(message);
  }

 private:
  McpServer server_;
};

inline std::unique_ptr<McpClient> loop_client(
    const McpServerConfig& config, std::vector<McpServedTool> tools) {
  auto client = McpClient::start(
      config, std::make_unique<LoopTransport>(std::move(tools)), [] {
        return true;
      });
  EXPECT_TRUE(client) << client.error().what;
  return client ? std::move(*client) : nullptr;
}

}  // namespace rapid
