// GgufParser: metadata values.
#include <limits>
#include <type_traits>

#include "hub/gguf_parser.h"

namespace rapid {

namespace {

// Value types of GGUF metadata.
enum : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

}  // namespace

Result<std::string_view> GgufParser::read_text(const std::string& field) {
  RAPID_TRY(const uint64_t length, read<uint64_t>(field));
  if (length > left()) {
    return corrupt(fmt::format(
        "{} at byte {} is {} bytes long, but only {} are left",
        field,
        at_,
        length,
        left()));
  }
  const std::string_view text(
      reinterpret_cast<const char*>(bytes_.data()) + at_, length);
  at_ += length;
  return text;
}

Result<std::string> GgufParser::read_string(const std::string& field) {
  RAPID_TRY(const std::string_view text, read_text(field));
  return std::string(text);
}

template <typename T>
Result<GgufValue> GgufParser::read_integer(const std::string& key) {
  RAPID_TRY(const T value, read<T>(key));
  return GgufValue(static_cast<int64_t>(value));
}

Result<GgufValue> GgufParser::read_value(
    const std::string& key, uint32_t type) {
  switch (type) {
    case kU8:
      return read_integer<uint8_t>(key);
    case kI8:
      return read_integer<int8_t>(key);
    case kU16:
      return read_integer<uint16_t>(key);
    case kI16:
      return read_integer<int16_t>(key);
    case kU32:
      return read_integer<uint32_t>(key);
    case kI32:
      return read_integer<int32_t>(key);
    case kI64:
      return read_integer<int64_t>(key);
    case kF32: {
      RAPID_TRY(const float value, read<float>(key));
      return GgufValue(static_cast<double>(value));
    }
    case kF64: {
      RAPID_TRY(const double value, read<double>(key));
      return GgufValue(value);
    }
    case kU64: {
      RAPID_TRY(const uint64_t value, read<uint64_t>(key));
      if (value > std::numeric_limits<int64_t>::max()) {
        return corrupt(fmt::format("{} is {}: too large", key, value));
      }
      return GgufValue(static_cast<int64_t>(value));
    }
    case kBool: {
      RAPID_TRY(const uint8_t value, read<uint8_t>(key));
      return GgufValue(value != 0);
    }
    case kString: {
      RAPID_TRY(std::string value, read_string(key));
      return GgufValue(std::move(value));
    }
    case kArray:
      return read_array(key);
    default:
      return corrupt(fmt::format("{} has unknown value type {}", key, type));
  }
}

template <typename T, typename Out>
Result<GgufValue> GgufParser::read_numbers(
    const std::string& key, uint64_t count) {
  if (count > left() / sizeof(T)) {
    return corrupt(fmt::format(
        "{} holds {} values of {} bytes, but only {} bytes are left",
        key,
        count,
        sizeof(T),
        left()));
  }
  std::vector<Out> values(count);
  for (Out& value : values) {
    T raw;
    std::memcpy(&raw, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    if constexpr (std::is_same_v<T, uint64_t>) {
      if (raw > std::numeric_limits<int64_t>::max()) {
        return corrupt(fmt::format("{} holds {}: too large", key, raw));
      }
    }
    value = static_cast<Out>(raw);
  }
  return GgufValue(std::move(values));
}

Result<GgufValue> GgufParser::read_array(const std::string& key) {
  RAPID_TRY(const uint32_t type, read<uint32_t>(key));
  RAPID_TRY(const uint64_t count, read<uint64_t>(key));
  switch (type) {
    case kU8:
    case kBool:
      return read_numbers<uint8_t, int64_t>(key, count);
    case kI8:
      return read_numbers<int8_t, int64_t>(key, count);
    case kU16:
      return read_numbers<uint16_t, int64_t>(key, count);
    case kI16:
      return read_numbers<int16_t, int64_t>(key, count);
    case kU32:
      return read_numbers<uint32_t, int64_t>(key, count);
    case kI32:
      return read_numbers<int32_t, int64_t>(key, count);
    case kU64:
      return read_numbers<uint64_t, int64_t>(key, count);
    case kI64:
      return read_numbers<int64_t, int64_t>(key, count);
    case kF32:
      return read_numbers<float, double>(key, count);
    case kF64:
      return read_numbers<double, double>(key, count);
    case kArray:
      return Error{
          ErrorCode::unsupported,
          fmt::format("{} is an array of arrays, which is not supported", key)};
    case kString:
      break;
    default:
      return corrupt(
          fmt::format("{} is an array of unknown type {}", key, type));
  }
  if (count > left() / sizeof(uint64_t)) {
    return corrupt(fmt::format(
        "{} holds {} strings, but only {} bytes are left", key, count, left()));
  }
  const uint64_t begin = at_;
  for (uint64_t i = 0; i < count; ++i) {
    RAPID_CHECK(read_text(key));
  }
  return GgufValue(GgufStrings{bytes_.subspan(begin, at_ - begin), count});
}

}  // namespace rapid
