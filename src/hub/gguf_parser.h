// The walk over a GGUF file's header, used by GgufFile alone. Reads metadata,
// then tensor infos, then places the tensors in the data section.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hub/gguf.h"

namespace rapid {

class GgufParser {
 public:
  explicit GgufParser(std::span<const std::byte> bytes) : bytes_(bytes) {}

  Result<std::shared_ptr<const GgufFile>> parse(
      const std::shared_ptr<const MappedFile>& file);

 private:
  template <typename T>
  Result<T> read(const std::string& field);
  Result<std::string_view> read_text(const std::string& field);
  Result<std::string> read_string(const std::string& field);
  Result<GgufValue> read_value(const std::string& key, uint32_t type);
  Result<GgufValue> read_array(const std::string& key);
  template <typename T, typename Out>
  Result<GgufValue> read_numbers(const std::string& key, uint64_t count);
  template <typename T>
  Result<GgufValue> read_integer(const std::string& key);

  Status read_header();
  Status read_metadata();
  Status read_alignment();
  Status read_tensor_infos();
  Result<TensorView> read_tensor_info(uint64_t index, uint64_t& offset);
  Status place_tensors(const std::vector<uint64_t>& offsets);
  Status check_overlap() const;

  uint64_t left() const { return bytes_.size() - at_; }
  Error corrupt(std::string what) const;

  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t value_count_ = 0;
  uint64_t alignment_ = 32;
  std::shared_ptr<GgufFile> out_;
};

template <typename T>
Result<T> GgufParser::read(const std::string& field) {
  if (left() < sizeof(T)) {
    return corrupt(fmt::format(
        "the file ends at byte {} inside {}", bytes_.size(), field));
  }
  T value;
  std::memcpy(&value, bytes_.data() + at_, sizeof(T));
  at_ += sizeof(T);
  return value;
}

}  // namespace rapid
