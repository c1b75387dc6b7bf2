// The tools of several MCP servers under names of our own, as a model sees
// them: server__tool, at most 64 letters, digits, _ and -.
//
// Thread-safe once open. A server that cannot be reached is told in
// `trouble()` and has no tools; the others work.
//
//   McpToolBox box = McpToolBox::open(config, logs, keep_going);
//   request.tools = box.tools();
//   auto result = box.call(call.name, call.arguments, keep_going);
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"
#include "mcp/client.h"

namespace rapid {

class McpToolBox {
 public:
  static McpToolBox open(
      const McpConfig& config,
      const std::filesystem::path& logs,
      const McpClient::KeepGoing& keep_going);
  // Over clients of the caller's.
  explicit McpToolBox(std::vector<std::unique_ptr<McpClient>> clients);

  std::vector<chat::Tool> tools() const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Whose it is, and what it is called there; of a tool that is in the box.
  struct Origin {
    std::string server;
    std::string tool;
    bool read_only = false;  // as the server says
  };
  Origin origin(std::string_view name) const;
  // The configuration says that it needs no consent.
  bool always_allowed(std::string_view name) const;

  // What the model is told: the result, or what went wrong, so that it can
  // try something else. Longer than 32,000 bytes it is cut, and says so. An
  // Error is only that somebody stopped it.
  Result<McpResult> call(
      std::string_view name,
      std::string_view arguments,
      const McpClient::KeepGoing& keep_going) const;

  const std::vector<std::unique_ptr<McpClient>>& clients() const {
    return clients_;
  }
  const std::vector<Error>& trouble() const { return trouble_; }

 private:
  struct Entry {
    std::string name;  // ours
    McpClient* client = nullptr;
    const McpTool* tool = nullptr;
  };
  const Entry* find(std::string_view name) const;

  std::vector<std::unique_ptr<McpClient>> clients_;
  std::vector<Entry> entries_;
  std::vector<Error> trouble_;
};

}  // namespace rapid
