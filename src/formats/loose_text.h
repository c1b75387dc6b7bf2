// The guesses of loose_json: where a string, a word or a comment ends in text
// that is not strict JSON. Every look ahead is bounded, so that all of it is
// linear, and none is wrong about strict JSON.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rapid {

class LooseText {
 public:
  enum class Where { top, key, object, list };
  struct Scope {
    Where where = Where::top;
    int depth = 0;
    bool in_object = false;  // at any level
    bool in_array = false;
  };

  explicit LooseText(std::string_view text) : text_(text) {}

  // Behind white space and comments; sets `repaired` when JSON has no such.
  size_t skip_space(size_t at, bool& repaired) const;
  // Appends the string that opens with `mark` at text[at] and returns the
  // index behind it; none if the text ends first. `verbatim`: no escapes.
  std::optional<size_t> read_string(
      size_t at,
      std::string_view mark,
      bool verbatim,
      const Scope& scope,
      std::string& out,
      bool& strict);
  size_t bare_key_end(size_t at) const;
  // The end of letters, digits and _ + - . from text[at] on.
  size_t token_end(size_t at) const;
  // Whether a number or literal that ends at text[at] is all of its value.
  bool value_ends(size_t at, Where where) const;
  size_t bare_words_end(size_t at, const Scope& scope, bool in_tuple) const;

 private:
  bool string_ends(size_t at, char quote, const Scope& scope) const;
  bool key_follows(size_t at) const;
  bool bare_key_follows(size_t at) const;
  bool quoted_key_follows(size_t at, bool unless_found) const;
  bool comment_at(size_t at) const;
  bool new_line(size_t begin, size_t end) const;  // is in between
  size_t skip_blank(size_t at) const;
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  std::string_view text_;
  // After a string that only the end of the text would close, the first quote
  // closes: what is scanned twice is scanned once only.
  bool plain_quotes_ = false;
};

}  // namespace rapid
