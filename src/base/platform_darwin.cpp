#include "base/platform.h"

#if defined(__APPLE__)

#include <mach-o/dyld.h>
#include <mach/mach.h>
#include <malloc/malloc.h>
#include <sys/resource.h>
#include <sys/sysctl.h>

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

void release_free_memory() {
  malloc_zone_pressure_relief(nullptr, 0);
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

}  // namespace rapid

#endif
