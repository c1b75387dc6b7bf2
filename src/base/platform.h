// What only the operating system knows. One file per platform.
#pragma once

#include <cstddef>
#include <string>

namespace rapid {

size_t peak_rss_bytes();
size_t current_rss_bytes();
size_t total_memory_bytes();
// Gives freed memory back that the allocator keeps; takes milliseconds.
void release_free_memory();
std::string program_path();  // of this process's own file; "" if unknown

}  // namespace rapid
