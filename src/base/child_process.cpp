#include "base/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

extern char** environ;

namespace rapid {

namespace {

constexpr int kPollMs = 50;
constexpr auto kGrace = std::chrono::seconds(2);
constexpr size_t kMaxOutput = 16u << 20;

struct Pipe {
  int read = -1;
  int write = -1;

  Pipe() {
    int ends[2];
    if (::pipe(ends) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe");
    }
    read = ends[0];
    write = ends[1];
    ::fcntl(read, F_SETFD, FD_CLOEXEC);
    ::fcntl(write, F_SETFD, FD_CLOEXEC);
    ::fcntl(read, F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    close_end(read);
    close_end(write);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  static void close_end(int& fd) {
    if (fd >= 0) {
      ::close(fd);
      fd = -1;
    }
  }
};

// The two attribute sets of posix_spawn.
struct SpawnSetup {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;

  SpawnSetup(int out, int err) {
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    posix_spawnattr_init(&attributes);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGQUIT}) {
      sigaddset(&defaults, signal);
    }
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes,
        POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
};

// Takes what is there; closes at the end of the stream. False: too much.
bool drain(int& fd, std::string& text) {
  char buffer[16384];
  while (fd >= 0) {
    const auto got = ::read(fd, buffer, sizeof(buffer));
    if (got > 0) {
      text.append(buffer, size_t(got));
      if (text.size() > kMaxOutput) {
        return false;
      }
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return true;
    } else {
      Pipe::close_end(fd);
    }
  }
  return true;
}

Error spawn_error(const std::string& program, int code) {
  if (code == ENOENT) {
    return {
        ErrorCode::not_found,
        fmt::format("there is no program at {}", program),
        "check the path",
        program};
  }
  return {
      ErrorCode::io,
      fmt::format("cannot run {}: {}", program, std::strerror(code)),
      "is it a program for this machine, and executable?",
      program};
}

}  // namespace

std::string ChildExit::reason() const {
  return signal ? fmt::format("signal {}", signal)
                : fmt::format("exit status {}", code);
}

Result<ChildProcess> ChildProcess::spawn(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  for (const auto& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  Pipe out, err;
  SpawnSetup setup(out.write, err.write);
  ChildProcess child;
  const int failed = ::posix_spawnp(
      &child.pid_,
      arguments[0],
      &setup.files,
      &setup.attributes,
      arguments.data(),
      environ);
  if (failed) {
    child.pid_ = -1;
    return spawn_error(argv[0], failed);
  }
  child.out_fd_ = std::exchange(out.read, -1);
  child.err_fd_ = std::exchange(err.read, -1);
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      out_fd_(std::exchange(other.out_fd_, -1)),
      err_fd_(std::exchange(other.err_fd_, -1)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    destroy();
    pid_ = std::exchange(other.pid_, -1);
    out_fd_ = std::exchange(other.out_fd_, -1);
    err_fd_ = std::exchange(other.err_fd_, -1);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  destroy();
}

void ChildProcess::destroy() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    reap(true, nullptr);
  }
  Pipe::close_end(out_fd_);
  Pipe::close_end(err_fd_);
}

// True once the child is gone.
bool ChildProcess::reap(bool block, ChildExit* exit) {
  int status = 0;
  pid_t got;
  do {
    got = ::waitpid(pid_, &status, block ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0) {
    return false;
  }
  if (exit && got == pid_) {
    exit->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    exit->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  pid_ = -1;
  return true;
}

// Its outputs are still read: a child may print while it ends.
void ChildProcess::terminate(ChildExit& exit) {
  const pid_t group = pid_;
  ::kill(-group, SIGTERM);
  const auto limit = std::chrono::steady_clock::now() + kGrace;
  while (!reap(false, &exit)) {
    if (std::chrono::steady_clock::now() > limit) {
      ::kill(-group, SIGKILL);
      reap(true, &exit);
      break;
    }
    drain(out_fd_, exit.out);
    drain(err_fd_, exit.err);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(-group, SIGKILL);  // what the child had started
}

Status ChildProcess::read_all(
    const std::function<bool()>& cancelled, ChildExit& exit) {
  while (pid_ > 0) {
    pollfd ends[] = {{out_fd_, POLLIN, 0}, {err_fd_, POLLIN, 0}};
    ::poll(ends, 2, kPollMs);
    if (cancelled && cancelled()) {
      terminate(exit);
      return Error{ErrorCode::cancelled, "stopped"};
    }
    // A grandchild may hold a pipe open after the child has gone.
    const bool closed = out_fd_ < 0 && err_fd_ < 0;
    reap(closed && !cancelled, &exit);
    if (!drain(out_fd_, exit.out) || !drain(err_fd_, exit.err)) {
      if (pid_ > 0) {
        terminate(exit);
      }
      return Error{
          ErrorCode::too_large,
          fmt::format("a program printed more than {} bytes", kMaxOutput)};
    }
  }
  return {};
}

Result<ChildExit> ChildProcess::wait(const std::function<bool()>& cancelled) {
  ChildExit exit;
  RAPID_CHECK(read_all(cancelled, exit));
  return exit;
}

Result<std::string> find_program(const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code failed;
  fs::path path = fs::absolute(name, failed);
  if (name.find('/') == std::string::npos && !fs::exists(path, failed)) {
    const char* folders = std::getenv("PATH");
    std::istringstream list(folders ? folders : "");
    for (std::string folder; std::getline(list, folder, ':');) {
      const fs::path candidate = fs::path(folder) / name;
      if (::access(candidate.c_str(), X_OK) == 0) {
        path = candidate;
        break;
      }
    }
  }
  if (!fs::exists(path, failed)) {
    return spawn_error(name, ENOENT);
  }
  if (fs::is_directory(path, failed) || ::access(path.c_str(), X_OK) != 0) {
    return Error{
        ErrorCode::invalid_argument,
        name + " is not an executable program",
        "name the program itself, and check its permissions",
        name};
  }
  return path.string();
}

std::string last_lines(const std::string& text, int count) {
  size_t end = text.size();
  while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r')) {
    --end;
  }
  size_t begin = end;
  while (begin > 0) {
    if (text[begin - 1] == '\n' && --count == 0) {
      break;
    }
    --begin;
  }
  return text.substr(begin, end - begin);
}

}  // namespace rapid
