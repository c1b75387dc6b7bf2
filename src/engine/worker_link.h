// WorkerLink: a worker process and the messages to and from it. Nothing
// blocks. One thread.
//
//   RAPID_TRY(auto link, WorkerLink::start(program, command, options));
//   link.send(WirePing{1});
//   poll link.fd() for link.events() ...
//   while (auto message = link.receive()) ...
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/companion.h"
#include "engine/wire.h"

namespace rapid {

class WorkerLink {
 public:
  static Result<WorkerLink> start(
      const std::string& program,
      const std::vector<std::string>& command,
      const EngineOptions& options);

  int fd() const { return process_.fd(); }
  short events() const;  // what to poll for

  void send(const WireMessage& message);
  void flush();  // as much as the socket takes
  // The next message that has arrived.
  std::optional<WireMessage> receive();
  bool lost() const { return lost_; }  // and nothing more will come
  // Ends the process; how it ended.
  std::string end(double grace);
  bool killed_by_others() const { return process_.killed_by_others(); }

 private:
  explicit WorkerLink(Companion process) : process_(std::move(process)) {}

  Companion process_;
  WireReader reader_;
  std::string out_;
  size_t sent_ = 0;
  bool drained_ = false;
  bool lost_ = false;
  std::string nonsense_;  // what it said that it cannot mean
};

}  // namespace rapid
