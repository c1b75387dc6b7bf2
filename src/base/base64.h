// Base64 (RFC 4648, with padding). decode() also takes text without padding;
// none when a character is not of the alphabet.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rapid {

std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace rapid
