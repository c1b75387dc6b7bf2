// UTF-8 at byte level. No tables, no locale.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rapid {

// The length of the longest prefix of `text` that does not end in the middle
// of a character. Invalid bytes count as whole characters, so that what can
// never become valid is not held back.
size_t utf8_complete_prefix(std::string_view text);

bool utf8_valid(std::string_view text);

// Replaces every maximal invalid sequence by U+FFFD.
std::string utf8_replace_invalid(std::string_view text);

}  // namespace rapid
