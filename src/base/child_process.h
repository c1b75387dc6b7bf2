// A child process with what it prints, without a shell.
//
// spawn() starts argv[0] (looked up on PATH when it has no slash) with nothing
// on stdin, both outputs piped to us, default signals and a process group of
// its own: Ctrl-C reaches this process only, which then ends the child. wait()
// reads both outputs to the end and reaps. Cancelled: SIGTERM, then SIGKILL two
// seconds later, to the whole group. A child that is still there when its
// object goes is killed and reaped. Not thread-safe; one wait().
//
// Errors of spawn(): not_found, io (not executable). Of wait(): cancelled,
// too_large (more than 16 MB printed). A failing exit is no error: see
// ChildExit.
//
//   RAPID_TRY(auto child, ChildProcess::spawn({"ls", "-l"}));
//   RAPID_TRY(const auto exit, child.wait());
//   if (exit.ok()) use(exit.out);
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace rapid {

struct ChildExit {
  int code = 0;    // exit status, when signal is 0
  int signal = 0;  // what ended it
  std::string out;
  std::string err;

  bool ok() const { return code == 0 && signal == 0; }
  std::string reason() const;  // "exit status 3", "signal 9"
};

class ChildProcess {
 public:
  static Result<ChildProcess> spawn(const std::vector<std::string>& argv);
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;

  // `cancelled` is polled every 50 ms.
  Result<ChildExit> wait(const std::function<bool()>& cancelled = {});
  pid_t pid() const { return pid_; }  // -1 once it was reaped

 private:
  ChildProcess() = default;
  Status read_all(const std::function<bool()>& cancelled, ChildExit& exit);
  bool reap(bool block, ChildExit* exit);
  void terminate(ChildExit& exit);
  void destroy();

  pid_t pid_ = -1;
  int out_fd_ = -1;
  int err_fd_ = -1;
};

// The program a user named: a path, or a name that PATH leads to. Errors:
// not_found, invalid_argument (a folder, or not executable).
Result<std::string> find_program(const std::string& name);

// The last `count` lines of a text, without the line end.
std::string last_lines(const std::string& text, int count);

}  // namespace rapid
