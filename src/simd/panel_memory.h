// Memory for packed weights: pieces of large chunks that lie at borders of 2
// MiB, so that the system can back them with large pages. Reading 100 MB for
// every token costs a fifth more when each 4 KiB of it is looked up apart.
//
// A piece keeps its chunk alive. What a piece leaves is given back to the
// system at once, by whole pages. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rapid {

// Zeroed, at a border of 64 bytes. Throws std::bad_alloc.
std::shared_ptr<uint8_t> take_panel_memory(size_t bytes);

}  // namespace rapid
