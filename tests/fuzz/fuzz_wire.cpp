#include <algorithm>
#include <cstdint>

#include "wire_target.h"
#include "wire_values.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rapid::fuzz_wire(std::as_bytes(std::span(data, size)));
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Instead of a corpus, which every new field would make stale: one input in
// eight starts from a new message.
extern "C" size_t LLVMFuzzerCustomMutator(
    uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  if (seed % 8 == 0) {
    const std::string bytes = rapid::encode(rapid::RandomValues(seed).message())
                                  .substr(sizeof(uint32_t));
    if (bytes.size() <= max_size) {
      std::ranges::copy(bytes, data);
      size = bytes.size();
    }
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
