#include "base/platform.h"

#if defined(__linux__)

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/map_pages.h"

namespace rapid {

namespace {

// The names of a version's files.
struct GroupFiles {
  const char* limit;
  const char* usage;
};

size_t number_in(const std::string& file, size_t otherwise) {
  std::ifstream in(file);
  size_t bytes = 0;  // "max" is no number
  return in >> bytes ? bytes : otherwise;
}

// The least limit of the group and those above it, or what the fullest of them
// leaves; none says SIZE_MAX.
size_t least_limit(
    const std::string& root, std::string group, GroupFiles files, bool left) {
  size_t least = SIZE_MAX;
  while (true) {
    const std::string folder = root + group + "/";
    size_t bytes = number_in(folder + files.limit, SIZE_MAX);
    if (left && bytes != SIZE_MAX) {
      bytes -= std::min(bytes, number_in(folder + files.usage, 0));
    }
    least = std::min(least, bytes);
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos || group.empty()) {
      return least;
    }
    group.resize(slash);
  }
}

// Lines "ID:controllers:/group"; version 2 has the ID 0 and no controllers.
size_t control_group_limit(bool left) {
  size_t least = SIZE_MAX;
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) {
      continue;
    }
    const std::string names = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (names.empty()) {
      least = std::min(
          least,
          least_limit(
              "/sys/fs/cgroup", group, {"memory.max", "memory.current"}, left));
    } else if (names == "memory") {
      least = std::min(
          least,
          least_limit(
              "/sys/fs/cgroup/memory",
              group,
              {"memory.limit_in_bytes", "memory.usage_in_bytes"},
              left));
    }
  }
  return least;
}

}  // namespace

size_t peak_rss_bytes() {
  // Not ru_maxrss: that keeps the peak of the program before exec(), which is
  // its parent's when it was started by vfork().
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::strtoull(line.c_str() + 6, nullptr, 10) << 10;
    }
  }
  rusage usage{};  // a kernel that does not tell
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

size_t current_rss_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t file_rss_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  size_t shared = 0;
  statm >> total >> resident >> shared;
  return shared * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t memory_limit_bytes() {
  return std::min(total_memory_bytes(), control_group_limit(false));
}

size_t available_memory_bytes() {
  size_t free = memory_limit_bytes();
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("MemAvailable:")) {
      free = std::min<size_t>(
          free, std::strtoull(line.c_str() + 13, nullptr, 10) << 10);
    }
  }
  // What a group counts holds files that give way.
  size_t reclaimable = 0;
  std::ifstream stat("/sys/fs/cgroup/memory.stat");
  for (std::string line; std::getline(stat, line);) {
    if (line.starts_with("inactive_file ")) {
      reclaimable = std::strtoull(line.c_str() + 14, nullptr, 10);
    }
  }
  const size_t left = control_group_limit(true);
  return left == SIZE_MAX ? free : std::min(free, left + reclaimable);
}

std::string chip_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "";
}

size_t total_memory_bytes() {
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void release_free_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

void* map_memory(size_t bytes) {
  char* out = map_at_border(bytes);
  if (out != nullptr) {
    ::madvise(out, bytes, MADV_HUGEPAGE);
  }
  return out;
}

void unmap_memory(void* memory, size_t bytes) {
  ::munmap(memory, bytes);
}

void drop_memory(void* memory, size_t bytes) {
  advise_whole_pages(memory, bytes, MADV_DONTNEED);
}

std::string program_path() {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).string();
}

std::string program_itself() {
  return "/proc/self/exe";
}

void close_files_in_child(
    posix_spawn_file_actions_t& actions, short&, int first) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  posix_spawn_file_actions_addclosefrom_np(&actions, first);
#else
  for (int fd = first; fd < 1024; ++fd) {
    posix_spawn_file_actions_addclose(&actions, fd);
  }
#endif
}

long send_quietly(int socket, std::string_view bytes) {
  return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

std::vector<int> inherited_sockets() {
  constexpr int kFirst = 3;  // sd_listen_fds(3)
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  std::vector<int> sockets;
  if (pid != nullptr && count != nullptr && std::atol(pid) == getpid()) {
    for (int fd = kFirst; fd < kFirst + std::atoi(count); ++fd) {
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      sockets.push_back(fd);
    }
  }
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    unsetenv(name);
  }
  return sockets;
}

}  // namespace rapid

#endif
