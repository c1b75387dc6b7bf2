#include "engine/worker_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/platform.h"

namespace rapid {

Result<WorkerLink> WorkerLink::start(
    const std::string& program,
    const std::vector<std::string>& command,
    const EngineOptions& options) {
  RAPID_TRY(auto process, Companion::spawn(program, command));
  WorkerLink link(std::move(process));
  link.send(WireHello{kWireVersion, options});
  return link;
}

short WorkerLink::events() const {
  return static_cast<short>(sent_ < out_.size() ? POLLIN | POLLOUT : POLLIN);
}

void WorkerLink::send(const WireMessage& message) {
  out_ += encode(message);
  flush();
}

void WorkerLink::flush() {
  while (!lost_ && sent_ < out_.size()) {
    const long count = send_quietly(fd(), std::string_view(out_).substr(sent_));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      // What it said last is still to be read: receive() sees the end.
      break;
    }
    sent_ += static_cast<size_t>(count);
  }
  constexpr size_t kWorthIt = 1 << 20;
  if (sent_ == out_.size() || sent_ > kWorthIt) {
    out_.erase(0, std::exchange(sent_, 0));
  }
}

std::optional<WireMessage> WorkerLink::receive() {
  char buffer[1 << 16];
  while (!lost_) {
    auto message = reader_.next();
    if (!message) {
      nonsense_ = message.error().what;
      lost_ = true;
      break;
    }
    if (*message) {
      return std::move(*message);
    }
    if (std::exchange(drained_, false)) {
      break;
    }
    const auto got = ::recv(fd(), buffer, sizeof(buffer), 0);
    if (got > 0) {
      reader_.feed(std::string_view(buffer, static_cast<size_t>(got)));
      // Less than there was room for: more is not worth a call now.
      drained_ = static_cast<size_t>(got) < sizeof(buffer);
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
      lost_ = true;
    } else if (errno == EAGAIN) {
      break;
    }
  }
  return std::nullopt;
}

std::string WorkerLink::end(double grace) {
  process_.kill(grace);
  return nonsense_.empty() ? process_.exit_reason() : nonsense_;
}

}  // namespace rapid
