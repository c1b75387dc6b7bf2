// Memory of one kernel call, taken from the calling thread's own stack of
// chunks and given back together. The stack keeps what it once needed.
//
//   Scratch scratch;
//   auto* row = scratch.take<float>(width);  // 64-byte aligned, not filled
//
// Frames nest; a frame's memory may be read and written by other threads while
// the frame lives.
#pragma once

#include <cstddef>

namespace rapid {

class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <typename T>
  T* take(size_t count) {
    return static_cast<T*>(bytes(count * sizeof(T)));
  }

 private:
  void* bytes(size_t size);
  size_t chunk_;
  size_t used_;
};

}  // namespace rapid
