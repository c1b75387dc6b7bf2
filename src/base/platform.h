// What only the operating system knows. One file per platform.
#pragma once

#include <cstddef>

namespace rapid {

size_t peak_rss_bytes();
size_t current_rss_bytes();
size_t total_memory_bytes();

}  // namespace rapid
