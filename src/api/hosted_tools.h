// HostedTools: the tools that this server runs itself when a request asks for
// them: those of the MCP servers in its mcp.json that the operator allowed. A
// request names servers and tools, never addresses or commands.
//
//   HostedOffer offer = hosted_offer(context);
//   RAPID_CHECK(offer.add(Fields(tool, "tools[1]"), request));
//   run_request(request, writer, stream, offer.backend(backend, context), ...);
//
// Threads: any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/backend.h"
#include "api/json_fields.h"
#include "api/route.h"
#include "chat/request.h"
#include "mcp/tool_rounds.h"

namespace rapid {

class HostedTools {
 public:
  // `allow`: names server__tool; with a * at the end, all that begin so.
  // Tools that mcp.json itself allows ("alwaysAllow") need no mention.
  HostedTools(
      McpToolBox box, std::vector<std::string> allow, ToolLimits limits = {});

  const McpToolBox& box() const { return box_; }
  const ToolLimits& limits() const { return limits_; }
  const std::vector<chat::Tool>& tools() const { return tools_; }  // allowed
  bool allows(std::string_view name) const;
  std::vector<std::string> servers() const;  // that were reached

  // Answers under way; more than that are refused.
  static constexpr int kMostAtOnce = 64;
  mutable std::atomic<int> running = 0;

 private:
  McpToolBox box_;
  std::vector<std::string> allow_;
  ToolLimits limits_;
  std::vector<chat::Tool> tools_;
};

// Which of them a request wants, and its fields that say so, for errors.
struct HostedWish {
  std::optional<std::string> server;           // none: of all
  std::optional<std::set<std::string>> names;  // none: all of its tools
  std::set<std::string> without;
  bool read_only = false;
  std::string entry;         // "tools[1]"
  std::string server_field;  // "tools[1].server_label"
  std::string names_field;
};

// What one request takes of them.
struct HostedOffer {
  std::shared_ptr<const HostedTools> tools;  // null: there are none
  bool expected = false;                     // they will come
  std::vector<std::string> names;            // that the request asked for
  int most_calls = 0;                        // 0 = as the server has it

  // {"type": "mcp", "server_label", "allowed_tools"}: adds tools to the
  // request, after its own. Errors name the field.
  Status add(const Fields& entry, chat::Request& request);
  Status add(HostedWish wish, chat::Request& request);

  // `backend`, with the calls of those tools run.
  std::shared_ptr<Backend> backend(
      std::shared_ptr<Backend> backend, ApiContext& context) const;
};

// While the MCP servers start: busy, which clients try again.
Error tools_are_starting();
HostedOffer hosted_offer(const ApiContext& context);

}  // namespace rapid
