#include "kernels/scratch.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace rapid {

namespace {

constexpr size_t kAlign = 64;
constexpr size_t kLeast = size_t{1} << 18;  // bytes of a chunk

struct Free {
  void operator()(void* p) const { std::free(p); }
};

struct Chunk {
  std::unique_ptr<void, Free> memory;
  size_t size = 0;
};

Chunk make_chunk(size_t size) {
  Chunk out{
      std::unique_ptr<void, Free>(std::aligned_alloc(kAlign, size)), size};
  if (!out.memory) {
    throw std::bad_alloc();
  }
  return out;
}

// `used` bytes of chunk `at` are taken, and all of those before it.
struct Stack {
  std::vector<Chunk> chunks;
  size_t at = 0;
  size_t used = 0;
};

Stack& stack() {
  thread_local Stack mine;
  return mine;
}

}  // namespace

Scratch::Scratch() : chunk_(stack().at), used_(stack().used) {}

Scratch::~Scratch() {
  Stack& s = stack();
  s.at = chunk_;
  s.used = used_;
  if (chunk_ == 0 && used_ == 0 && s.chunks.size() > 1) {
    // One chunk as large as all of them, so that the next call finds room.
    size_t size = 0;
    for (const Chunk& chunk : s.chunks) {
      size += chunk.size;
    }
    s.chunks.clear();
    s.chunks.push_back(make_chunk(size));
  }
}

void* Scratch::bytes(size_t size) {
  Stack& s = stack();
  size = std::max(size, size_t{1});
  size = (size + kAlign - 1) / kAlign * kAlign;
  while (s.at < s.chunks.size() && s.used + size > s.chunks[s.at].size) {
    ++s.at;
    s.used = 0;
  }
  if (s.at == s.chunks.size()) {
    s.chunks.push_back(make_chunk(std::max(size, kLeast)));
  }
  void* out = static_cast<std::byte*>(s.chunks[s.at].memory.get()) + s.used;
  s.used += size;
  return out;
}

}  // namespace rapid
