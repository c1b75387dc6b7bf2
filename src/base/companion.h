// A child process at the other end of a socket.
//
// spawn() starts a program with nothing on stdin, stdout and stderr both going
// to our stderr, and its end of the socket as file 3; it has no other file of
// ours. It has a process group of its own: a terminal's Ctrl-C does not reach
// it. Our end does not block. The destructor kills and reaps. One thread at a
// time.
//
// Errors of spawn(): io.
//
//   RAPID_TRY(auto child, Companion::spawn(program_itself(), {"me", "-x"}));
//   poll child.fd() ...
//   child.kill(0.1);
//   log(child.exit_reason());
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace rapid {

class Companion {
 public:
  static constexpr int kChildFd = 3;

  // `argv` begins with the name that the process shows.
  static Result<Companion> spawn(
      const std::string& program, const std::vector<std::string>& argv);
  ~Companion() { kill(0); }
  Companion(Companion&& other) noexcept;
  Companion& operator=(Companion&& other) noexcept;

  int fd() const { return fd_; }
  pid_t pid() const { return pid_; }  // -1 once it was reaped

  // True once it is gone. Waits for so long at most.
  bool wait(double seconds);
  // Closes the socket and gives it so long to end by itself. Idempotent.
  void kill(double grace);
  // "exit status 3", "signal 9"; how it ended.
  const std::string& exit_reason() const { return reason_; }
  // Somebody else's SIGKILL did: a user, or for want of memory.
  bool killed_by_others() const { return killed_by_others_; }

 private:
  Companion() = default;
  void reaped(int status);

  pid_t pid_ = -1;
  int fd_ = -1;
  std::string reason_;
  bool ours_ = false;  // the SIGKILL
  bool killed_by_others_ = false;
};

}  // namespace rapid
