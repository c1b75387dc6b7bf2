// What both platforms' map_memory and drop_memory share. For platform_*.cpp.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace rapid {

// Fresh memory that begins at a border of 2 MiB; null: there is none.
inline char* map_at_border(size_t bytes) {
  constexpr size_t kBorder = size_t{2} << 20;
  void* all = ::mmap(
      nullptr,
      bytes + kBorder,
      PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANON,
      -1,
      0);
  if (all == MAP_FAILED) {
    return nullptr;
  }
  auto* start = static_cast<char*>(all);
  const size_t before =
      (kBorder - reinterpret_cast<uintptr_t>(all) % kBorder) % kBorder;
  if (before > 0) {
    ::munmap(start, before);
  }
  ::munmap(start + before + bytes, kBorder - before);
  return start + before;
}

// madvise over the pages that lie wholly within.
inline void advise_whole_pages(void* memory, size_t bytes, int advice) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = (at + page - 1) / page * page;
  const uintptr_t last = (at + bytes) / page * page;
  if (first < last) {
    ::madvise(reinterpret_cast<void*>(first), last - first, advice);
  }
}

}  // namespace rapid
