// pip as a child process: no shell, its own process group, its output kept.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "hub/file_writer.h"
#include "hub/hub_cache.h"
#include "hub/text_file.h"
#include "hub/wheel.h"

extern char** environ;

namespace rapid {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPipHint =
    "install python3 with pip: only wheel: sources need them";

class Argv {
 public:
  explicit Argv(std::vector<std::string> words) : words_(std::move(words)) {
    for (std::string& word : words_) {
      pointers_.push_back(word.data());
    }
    pointers_.push_back(nullptr);
  }
  char** get() { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

// pip keeps its work in `temp`, so that it can be watched and swept.
Argv environment(const fs::path& temp) {
  std::vector<std::string> words = {"TMPDIR=" + temp.string()};
  for (char** entry = environ; *entry; ++entry) {
    if (!std::string_view(*entry).starts_with("TMPDIR=")) {
      words.emplace_back(*entry);
    }
  }
  return Argv(std::move(words));
}

Result<pid_t> start_pip(
    const std::string& requirement, const fs::path& temp, const fs::path& log) {
  Argv argv(
      {"python3",
       "-m",
       "pip",
       "download",
       "--no-deps",
       "--no-cache-dir",
       "--only-binary",
       ":all:",
       "--no-input",
       "--disable-pip-version-check",
       "--progress-bar",
       "off",
       "-d",
       (temp / "out").string(),
       requirement});
  Argv envp = environment(temp);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(
      &files, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  // Its own group: Ctrl-C comes to us, and we end it with its children.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = 0;
  const int code = ::posix_spawnp(
      &child, "python3", &files, &attributes, argv.get(), envp.get());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) {
    return Error{
        ErrorCode::io,
        fmt::format("cannot run python3: {}", std::strerror(code)),
        kPipHint};
  }
  return child;
}

// Waits; false when the caller asked to stop and the child was ended.
bool wait_for(
    pid_t child, int& status, const std::function<bool()>& keep_going) {
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (!keep_going()) {
      ::kill(-child, SIGTERM);
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

// The last line of pip's output that says what went wrong.
Error pip_error(const std::string& requirement, const fs::path& log, int rc) {
  std::string text;
  if (auto read = read_optional_text(log)) {
    text = *read;
  }
  if (text.find("No module named pip") != std::string::npos) {
    return Error{ErrorCode::io, "python3 has no pip", kPipHint};
  }
  std::string last;
  std::string error;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (!line.empty()) {
      last = line;
    }
    if (line.starts_with("ERROR:")) {
      error = line;
    }
    at = end + 1;
  }
  constexpr size_t kLimit = 300;
  return Error{
      ErrorCode::io,
      fmt::format(
          "pip could not fetch {} (exit {}): {}",
          requirement,
          rc,
          (error.empty() ? last : error).substr(0, kLimit)),
      "check the network and pip's index settings (`python3 -m pip config "
      "list`)"};
}

Result<fs::path> only_wheel(
    const fs::path& folder, const std::string& requirement) {
  std::vector<fs::path> found;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    if (entry.path().extension() == ".whl") {
      found.push_back(entry.path());
    }
  }
  if (found.size() != 1) {
    return Error{
        ErrorCode::io,
        fmt::format(
            "pip gave {} wheels for {}, expected 1",
            found.size(),
            requirement)};
  }
  return found.front();
}

Status fetch_wheel(
    const std::string& requirement,
    const fs::path& target,
    const PullHooks& hooks) {
  const fs::path temp = target.string() + ".tmp";
  std::error_code ignored;
  fs::remove_all(temp, ignored);
  RAPID_CHECK(make_folder(temp / "out"));
  const fs::path log = temp / "pip.log";
  RAPID_TRY(const pid_t child, start_pip(requirement, temp, log));
  int status = 0;
  const bool finished = wait_for(child, status, [&] {
    if (hooks.progress) {
      hooks.progress({requirement, "wheel", folder_bytes(temp), 0});
    }
    return !hooks.cancelled || !hooks.cancelled();
  });
  Status out;
  if (!finished) {
    out = Error{ErrorCode::cancelled, "the download was stopped"};
  } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const int rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out = pip_error(requirement, log, rc);
  } else if (auto wheel = only_wheel(temp / "out", requirement); !wheel) {
    out = wheel.error();
  } else if (::rename(wheel->c_str(), target.c_str()) != 0) {
    out = file_error("rename to", target, errno);
  }
  fs::remove_all(temp, ignored);
  return out;
}

}  // namespace

Result<std::vector<fs::path>> fetch_wheels(
    const WheelSource& source, const fs::path& folder, const PullHooks& hooks) {
  std::vector<fs::path> wheels;
  RAPID_CHECK(make_folder(folder));
  for (const std::string& requirement : source.requirements) {
    const fs::path target = fs::absolute(folder) / (requirement + ".whl");
    if (!fs::exists(target)) {
      RAPID_CHECK(fetch_wheel(requirement, target, hooks));
    }
    wheels.push_back(target);
  }
  return wheels;
}

}  // namespace rapid
