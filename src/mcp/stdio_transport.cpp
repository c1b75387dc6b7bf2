#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/child_process.h"
#include "base/companion.h"
#include "base/platform.h"
#include "hub/file_writer.h"
#include "mcp/transport.h"

namespace rapid {

namespace {

constexpr int kPollMs = 100;
constexpr size_t kMaxMessage = size_t{64} << 20;

// The companion's socket becomes the command's standard streams.
constexpr const char* kScript =
    "log=$1; folder=$2; shift 2; cd \"$folder\" || exit 1; "
    "exec env \"$@\" <&3 >&3 2>>\"$log\" 3>&-";

class StdioTransport final : public McpTransport {
 public:
  StdioTransport(std::string name, Companion child, std::filesystem::path log)
      : name_(std::move(name)),
        child_(std::move(child)),
        log_(std::move(log)) {}
  ~StdioTransport() override { child_.kill(1.0); }

  bool ended() const override { return gone_; }

  Result<Json> exchange(
      const Json& message,
      const KeepGoing& keep_going,
      const OnOther& on_other) override {
    RAPID_CHECK(send(message, keep_going));
    if (!message.contains("id")) {
      return Json();
    }
    while (true) {
      RAPID_TRY(const Json got, receive(keep_going));
      if (!got.contains("method") &&
          got.value("id", Json()) == message.at("id")) {
        return got;
      }
      if (const Json answer = on_other(got); !answer.is_null()) {
        RAPID_CHECK(send(answer, keep_going));
      }
    }
  }

 private:
  Error gone() {
    gone_ = true;
    child_.wait(0.5);
    return {
        ErrorCode::io,
        fmt::format(
            "MCP server {} ended ({})",
            name_,
            child_.exit_reason().empty() ? "it closed its output"
                                         : child_.exit_reason()),
        "what it printed is in " + log_.string(),
        name_};
  }

  // Waits until `events` happen; an error when that is not to be.
  Status wait_for(short events, const KeepGoing& keep_going) {
    while (true) {
      pollfd file{child_.fd(), events, 0};
      const int ready = ::poll(&file, 1, kPollMs);
      if (ready > 0) {
        return {};
      }
      if (ready < 0 && errno != EINTR) {
        return gone();
      }
      if (keep_going && !keep_going()) {
        return Error{ErrorCode::cancelled, "the call was stopped"};
      }
    }
  }

  Status send(const Json& message, const KeepGoing& keep_going) {
    const std::string line = dump_json(message) + "\n";
    std::string_view left = line;
    while (!left.empty()) {
      const long sent = send_quietly(child_.fd(), left);
      if (sent > 0) {
        left.remove_prefix(static_cast<size_t>(sent));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        RAPID_CHECK(wait_for(POLLOUT, keep_going));
      } else if (errno != EINTR) {
        return gone();
      }
    }
    return {};
  }

  // The next line that is a message; what else it prints is not for us.
  Result<Json> receive(const KeepGoing& keep_going) {
    while (true) {
      const size_t end = buffer_.find('\n', looked_);
      if (end != buffer_.npos) {
        const auto message = parse_json(buffer_.substr(0, end));
        buffer_.erase(0, end + 1);
        looked_ = 0;
        if (message && message->is_object()) {
          return *message;
        }
        continue;
      }
      looked_ = buffer_.size();
      if (buffer_.size() > kMaxMessage) {
        return Error{
            ErrorCode::too_large,
            fmt::format("MCP server {} sends too long a message", name_)};
      }
      RAPID_CHECK(wait_for(POLLIN, keep_going));
      char bytes[16384];
      const ssize_t got = ::read(child_.fd(), bytes, sizeof(bytes));
      if (got > 0) {
        buffer_.append(bytes, static_cast<size_t>(got));
      } else if (
          got == 0 ||
          (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        return gone();
      }
    }
  }

  std::string name_;
  Companion child_;
  std::filesystem::path log_;
  bool gone_ = false;
  std::string buffer_;
  size_t looked_ = 0;  // of it, for a line end
};

}  // namespace

Result<std::unique_ptr<McpTransport>> start_stdio_transport(
    const McpServerConfig& server, const std::filesystem::path& log) {
  auto program = find_program(server.command);
  if (!program) {
    Error error = program.error();
    error.what = fmt::format("MCP server {}: {}", server.name, error.what);
    return error;
  }
  RAPID_CHECK(make_folder(log.parent_path()));
  std::vector<std::string> argv = {
      "sh",
      "-c",
      kScript,
      "sh",
      log.string(),
      server.folder.empty() ? "." : server.folder};
  for (const auto& [name, value] : server.environment) {
    argv.push_back(name + "=" + value);
  }
  argv.push_back(*program);
  argv.insert(argv.end(), server.arguments.begin(), server.arguments.end());
  RAPID_TRY(Companion child, Companion::spawn("/bin/sh", argv));
  return std::unique_ptr<McpTransport>(
      std::make_unique<StdioTransport>(server.name, std::move(child), log));
}

}  // namespace rapid
