// FNV-1a over 64 bits: a quick fingerprint of values that nobody chose so that
// they collide. Not for what an adversary may pick.
//   Fnv1a hash;  hash.add(text);  hash.value()
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rapid {

class Fnv1a {
 public:
  Fnv1a() = default;
  explicit Fnv1a(uint64_t seed) : value_(kBasis ^ seed) {}

  void add(uint32_t unit) { value_ = (value_ ^ unit) * 0x100000001b3; }
  void add(std::string_view text) {
    for (const char c : text) {
      add(static_cast<unsigned char>(c));
    }
  }
  void add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) {
      add(static_cast<uint32_t>(b));
    }
  }
  // One step an id.
  void add(std::span<const int32_t> ids) {
    for (const int32_t id : ids) {
      add(static_cast<uint32_t>(id));
    }
  }
  uint64_t value() const { return value_; }

 private:
  static constexpr uint64_t kBasis = 0xcbf29ce484222325;
  uint64_t value_ = kBasis;
};

}  // namespace rapid
