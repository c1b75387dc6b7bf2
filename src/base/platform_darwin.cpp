#include "base/platform.h"

#if defined(__APPLE__)

#include <mach-o/dyld.h>
#include <mach/mach.h>
#include <malloc/malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "base/map_pages.h"

// Of <launch.h>, which not every SDK has.
extern "C" int launch_activate_socket(
    const char* name, int** sockets, size_t* count);

namespace rapid {

size_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss);  // bytes here, not KiB
}

size_t current_rss_bytes() {
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  task_info(
      mach_task_self(),
      MACH_TASK_BASIC_INFO,
      reinterpret_cast<task_info_t>(&info),
      &count);
  return info.resident_size;
}

size_t total_memory_bytes() {
  size_t bytes = 0;
  size_t length = sizeof(bytes);
  sysctlbyname("hw.memsize", &bytes, &length, nullptr, 0);
  return bytes;
}

size_t file_rss_bytes() {
  return 0;  // not told apart here
}

size_t memory_limit_bytes() {
  return total_memory_bytes();
}

size_t available_memory_bytes() {
  vm_statistics64_data_t pages{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(
          mach_host_self(),
          HOST_VM_INFO64,
          reinterpret_cast<host_info64_t>(&pages),
          &count) != KERN_SUCCESS) {
    return total_memory_bytes();
  }
  return (static_cast<size_t>(pages.free_count) + pages.inactive_count +
          pages.speculative_count) *
         vm_kernel_page_size;
}

std::string chip_name() {
  char name[128] = {};
  size_t length = sizeof(name) - 1;
  sysctlbyname("machdep.cpu.brand_string", name, &length, nullptr, 0);
  return name;
}

void release_free_memory() {
  malloc_zone_pressure_relief(nullptr, 0);
}

void* map_memory(size_t bytes) {
  return map_at_border(bytes);
}

void unmap_memory(void* memory, size_t bytes) {
  ::munmap(memory, bytes);
}

void drop_memory(void* memory, size_t bytes) {
  advise_whole_pages(memory, bytes, MADV_FREE);
}

std::string program_path() {
  uint32_t size = 0;
  _NSGetExecutablePath(nullptr, &size);  // asks for the size
  std::string path(size, '\0');
  if (size == 0 || _NSGetExecutablePath(path.data(), &size) != 0) {
    return "";
  }
  return path.c_str();  // up to the terminator
}

std::string program_itself() {
  return program_path();
}

void close_files_in_child(posix_spawn_file_actions_t&, short& flags, int) {
  flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;  // all that no action names
}

long send_quietly(int socket, std::string_view bytes) {
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
  return ::send(socket, bytes.data(), bytes.size(), 0);
}

std::vector<int> inherited_sockets() {
  int* sockets = nullptr;
  size_t count = 0;
  if (launch_activate_socket("Listeners", &sockets, &count) != 0) {
    return {};  // not started by launchd, or without such sockets
  }
  std::vector<int> out(sockets, sockets + count);
  std::free(sockets);
  return out;
}

}  // namespace rapid

#endif
