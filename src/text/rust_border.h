// Values across the border to the Rust library. Private to this folder.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "text/rust/rapid_text.h"

namespace rapid {

inline rapid_bytes borrow(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string_view view(rapid_bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

inline std::string take(rapid_buffer buffer) {
  std::string text(
      reinterpret_cast<const char*>(buffer.data),
      buffer.data == nullptr ? 0 : buffer.size);
  rapid_bytes_free(buffer);
  return text;
}

// Frees the message of `error`.
inline Error take(const rapid_error& error) {
  Error out;
  out.what = take(error.message);
  switch (error.kind) {
    case RAPID_TEXT_CORRUPT:
      out.code = ErrorCode::corrupt;
      break;
    case RAPID_TEXT_UNSUPPORTED:
      out.code = ErrorCode::unsupported;
      break;
    case RAPID_TEXT_INVALID:
      out.code = ErrorCode::invalid_argument;
      break;
    default:
      out.code = ErrorCode::internal;
  }
  return out;
}

}  // namespace rapid
