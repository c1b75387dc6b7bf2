#include "api/query.h"

#include <algorithm>
#include <charconv>

namespace rapid {

namespace {

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> query_value(
    std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const size_t mark = part.find('=');
    if (decoded(part.substr(0, mark)) == name) {
      return mark == std::string_view::npos ? std::string()
                                            : decoded(part.substr(mark + 1));
    }
  }
  return std::nullopt;
}

}  // namespace rapid
