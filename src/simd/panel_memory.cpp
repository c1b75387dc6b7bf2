#include "simd/panel_memory.h"

#include <mutex>
#include <new>

#include "base/platform.h"

namespace rapid {

namespace {

constexpr size_t kBorder = 64;
constexpr size_t kGrain = size_t{64} << 10;  // of map_memory
constexpr size_t kChunk = size_t{32} << 20;
// What is larger has a mapping of its own.
constexpr size_t kLargest = kChunk / 4;

size_t rounded(size_t bytes, size_t to) {
  return (bytes + to - 1) / to * to;
}

class Chunk {
 public:
  explicit Chunk(size_t bytes)
      : memory_(static_cast<uint8_t*>(map_memory(bytes))), bytes_(bytes) {
    if (!memory_) {
      throw std::bad_alloc();
    }
  }
  ~Chunk() { unmap_memory(memory_, bytes_); }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  // The next `bytes` of it; null when they do not fit.
  uint8_t* take(size_t bytes) {
    if (bytes > bytes_ - used_) {
      return nullptr;
    }
    uint8_t* out = memory_ + used_;
    used_ += bytes;
    return out;
  }

 private:
  uint8_t* memory_;
  size_t bytes_;
  size_t used_ = 0;
};

// The chunk that has room, while any of its pieces lives.
struct Shelf {
  std::mutex mutex;
  std::weak_ptr<Chunk> open;
};

Shelf& shelf() {
  static auto* the_shelf = new Shelf;  // pieces may outlive static objects
  return *the_shelf;
}

std::shared_ptr<uint8_t> piece_of(
    std::shared_ptr<Chunk> chunk, uint8_t* memory, size_t bytes) {
  return {memory, [chunk = std::move(chunk), bytes](uint8_t* p) {
            drop_memory(p, bytes);
          }};
}

}  // namespace

std::shared_ptr<uint8_t> take_panel_memory(size_t bytes) {
  bytes = rounded(bytes > 0 ? bytes : 1, kBorder);
  if (bytes > kLargest) {
    auto chunk = std::make_shared<Chunk>(rounded(bytes, kGrain));
    uint8_t* memory = chunk->take(bytes);
    return {std::move(chunk), memory};
  }
  const std::lock_guard lock(shelf().mutex);
  std::shared_ptr<Chunk> chunk = shelf().open.lock();
  uint8_t* memory = chunk ? chunk->take(bytes) : nullptr;
  if (!memory) {
    chunk = std::make_shared<Chunk>(kChunk);
    shelf().open = chunk;
    memory = chunk->take(bytes);
  }
  return piece_of(std::move(chunk), memory, bytes);
}

}  // namespace rapid
