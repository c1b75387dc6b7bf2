#include "text/detokenizer.h"

#include <utility>

#include "base/utf8.h"

namespace rapid {

Detokenizer::Detokenizer(
    std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      strip_space_(tokenizer_->strips_leading_space()) {}

std::string Detokenizer::push(int32_t id) {
  if (skip_special_ && tokenizer_->is_special(id)) {
    return {};
  }
  std::string bytes = tokenizer_->token_bytes(id);
  if (bytes.empty()) {
    return {};
  }
  if (std::exchange(strip_space_, false) && bytes[0] == ' ') {
    bytes.erase(0, 1);
  }
  held_ += bytes;
  size_t whole = utf8_complete_prefix(held_);
  std::string text =
      utf8_replace_invalid(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
  return text;
}

std::string Detokenizer::flush() {
  return utf8_replace_invalid(std::exchange(held_, {}));
}

}  // namespace rapid
