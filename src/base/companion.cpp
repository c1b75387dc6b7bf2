#include "base/companion.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/platform.h"

extern char** environ;

namespace rapid {

namespace {

Error spawn_error(const std::string& name, int code) {
  return {
      ErrorCode::io,
      fmt::format("cannot start {}: {}", name, std::strerror(code)),
      "",
      name};
}

int spawn_with(
    const std::string& program,
    const std::vector<std::string>& argv,
    int child_end,
    pid_t& pid) {
  std::vector<char*> arguments;
  for (const auto& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, 2, 1);
  posix_spawn_file_actions_adddup2(&files, 2, 2);
  posix_spawn_file_actions_adddup2(&files, child_end, Companion::kChildFd);
  short flags =
      POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
  close_files_in_child(files, flags, Companion::kChildFd + 1);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGQUIT}) {
    sigaddset(&defaults, signal);
  }
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, flags);
  const int failed = ::posix_spawn(
      &pid, program.c_str(), &files, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return failed;
}

// Above the child's: dup2 to itself would leave it to be closed.
int moved_up(int fd) {
  const int out = ::fcntl(fd, F_DUPFD_CLOEXEC, Companion::kChildFd + 1);
  ::close(fd);
  return out;
}

}  // namespace

Result<Companion> Companion::spawn(
    const std::string& program, const std::vector<std::string>& argv) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
    return spawn_error(program, errno);
  }
  Companion child;
  child.fd_ = moved_up(ends[0]);
  const int theirs = moved_up(ends[1]);
  if (child.fd_ < 0 || theirs < 0) {
    const int code = errno;
    ::close(theirs);
    return spawn_error(program, code);
  }
  ::fcntl(child.fd_, F_SETFL, O_NONBLOCK);
  const int failed = spawn_with(program, argv, theirs, child.pid_);
  ::close(theirs);
  if (failed != 0) {
    child.pid_ = -1;
    return spawn_error(program, failed);
  }
  return child;
}

Companion::Companion(Companion&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      fd_(std::exchange(other.fd_, -1)),
      reason_(std::move(other.reason_)),
      ours_(other.ours_),
      killed_by_others_(other.killed_by_others_) {}

Companion& Companion::operator=(Companion&& other) noexcept {
  if (this != &other) {
    kill(0);
    pid_ = std::exchange(other.pid_, -1);
    fd_ = std::exchange(other.fd_, -1);
    reason_ = std::move(other.reason_);
    ours_ = other.ours_;
    killed_by_others_ = other.killed_by_others_;
  }
  return *this;
}

void Companion::reaped(int status) {
  pid_ = -1;
  killed_by_others_ =
      WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !ours_;
  reason_ = WIFSIGNALED(status)
                ? fmt::format("signal {}", WTERMSIG(status))
                : fmt::format("exit status {}", WEXITSTATUS(status));
}

bool Companion::wait(double seconds) {
  const double limit = now_seconds() + seconds;
  while (pid_ > 0) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    if (got == pid_) {
      reaped(status);
    } else if (got < 0 && errno != EINTR) {
      pid_ = -1;  // somebody else reaped it
    } else if (now_seconds() >= limit) {
      return false;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  return true;
}

void Companion::kill(double grace) {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
  }
  if (!wait(grace)) {
    ours_ = true;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    int status = 0;
    pid_t got;
    do {
      got = ::waitpid(pid_, &status, 0);
    } while (got < 0 && errno == EINTR);
    reaped(status);
  }
}

}  // namespace rapid
