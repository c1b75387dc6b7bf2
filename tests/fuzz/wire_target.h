// What the fuzzer of worker messages does with one input.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "engine/wire.h"

namespace rapid {

// True when the bytes are a message; then it says the same again.
inline bool fuzz_wire(std::span<const std::byte> bytes) {
  const std::string_view text(
      reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto message = decode(text);
  WireReader reader;
  reader.feed(text);
  (void)reader.next();
  if (!message) {
    return false;
  }
  if (encode(*message).substr(sizeof(uint32_t)) != text) {
    __builtin_trap();
  }
  return true;
}

}  // namespace rapid
