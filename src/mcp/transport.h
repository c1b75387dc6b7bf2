// How messages of the Model Context Protocol (JSON-RPC 2.0) reach a server:
// lines on the standard streams of a child process, or HTTP POSTs.
//
// Not thread-safe: one exchange at a time. What the server asks or tells on
// its own is given to `on_other`, whose answer (null: none) goes back.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "mcp/config.h"

namespace rapid {

class McpTransport {
 public:
  using OnOther = std::function<Json(const Json& message)>;
  using KeepGoing = std::function<bool()>;  // polled several times a second

  virtual ~McpTransport() = default;

  // Sends `message`; with an "id" waits for the reply to it. Errors: io (the
  // server ended, or broke the protocol), cancelled, too_large.
  virtual Result<Json> exchange(
      const Json& message,
      const KeepGoing& keep_going,
      const OnOther& on_other) = 0;

  // Nothing more will come: the other end is gone.
  virtual bool ended() const { return false; }

  // What was agreed on when the session began; sent along by HTTP.
  virtual void agreed(const std::string& /*protocol_version*/) {}
};

// Starts the command. Its stderr goes to `log`, a file.
Result<std::unique_ptr<McpTransport>> start_stdio_transport(
    const McpServerConfig& server, const std::filesystem::path& log);
std::unique_ptr<McpTransport> make_http_transport(
    const McpServerConfig& server);

}  // namespace rapid
