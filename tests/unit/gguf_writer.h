// Writes GGUF bytes for tests: well-formed unless a test says otherwise.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace rapid::test {

class GgufWriter {
 public:
  template <typename T>
  GgufWriter& put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }

  GgufWriter& put_string(const std::string& s) {
    put<uint64_t>(s.size());
    text_ += s;
    return *this;
  }

  GgufWriter& header(uint64_t tensors, uint64_t values, uint32_t version = 3) {
    text_ += "GGUF";
    return put(version).put(tensors).put(values);
  }

  template <typename T>
  GgufWriter& value(const std::string& key, uint32_t type, T v) {
    return put_string(key).put(type).put(v);
  }

  GgufWriter& text(const std::string& key, const std::string& v) {
    return put_string(key).put<uint32_t>(8).put_string(v);
  }

  GgufWriter& texts(
      const std::string& key, const std::vector<std::string>& values) {
    put_string(key).put<uint32_t>(9).put<uint32_t>(8);
    put<uint64_t>(values.size());
    for (const auto& v : values) {
      put_string(v);
    }
    return *this;
  }

  template <typename T>
  GgufWriter& numbers(
      const std::string& key, uint32_t type, const std::vector<T>& values) {
    put_string(key).put<uint32_t>(9).put(type).put<uint64_t>(values.size());
    for (const T v : values) {
      put(v);
    }
    return *this;
  }

  // dims innermost first, as the file has them.
  GgufWriter& tensor(
      const std::string& name,
      const std::vector<uint64_t>& dims,
      uint32_t type,
      uint64_t offset) {
    put_string(name).put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t d : dims) {
      put(d);
    }
    return put(type).put(offset);
  }

  GgufWriter& data(size_t size, char fill = 0, size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment);
    text_.append(size, fill);
    return *this;
  }

  std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(text_));
  }
  std::string& raw() { return text_; }

 private:
  std::string text_;
};

}  // namespace rapid::test
