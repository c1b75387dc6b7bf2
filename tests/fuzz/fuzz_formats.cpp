#include <cstdint>

#include "format_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rapid::fuzz_formats({reinterpret_cast<const char*>(data), size});
  return 0;
}
