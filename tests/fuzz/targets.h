// What each fuzzer does with one input; the corpus replay does the same.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "hub/dequantise.h"
#include "hub/gguf.h"
#include "hub/safetensors.h"

namespace rapid {

// Reads all bytes of small tensors, so that a wrong range is seen.
inline void touch(const std::vector<TensorView>& tensors) {
  constexpr int64_t kLimit = 1 << 16;
  for (const TensorView& tensor : tensors) {
    if (const int64_t elements = tensor.elements(); elements <= kLimit) {
      std::vector<float> out(static_cast<size_t>(elements));
      dequantise(tensor.type, tensor.bytes, out);
    }
  }
}

// True when the bytes are a valid file.
inline bool fuzz_gguf(std::span<const std::byte> bytes) {
  const auto file = GgufFile::parse(bytes);
  if (!file) {
    return false;
  }
  touch((*file)->tensors());
  const auto vocabulary = (*file)->vocabulary();
  (*file)->architecture();
  return true;
}

inline bool fuzz_safetensors(std::span<const std::byte> bytes) {
  const auto header = parse_safetensors(bytes);
  if (!header) {
    return false;
  }
  touch(header->tensors);
  return true;
}

}  // namespace rapid
