// Text <-> token ids, equal to Hugging Face's for the same tokenizer.
//
// Invariants: immutable after it is built, so any thread may call any method.
// Special tokens are recognised only where the caller says the text is
// trusted: in user text `<|im_end|>` is eight characters, never a control
// token. Costs about 0.3 us a token to decode and 2-3 MB/s to encode.
//
//   RAPID_TRY(auto tokenizer, Tokenizer::from_json(bytes));
//   std::vector<int32_t> ids = tokenizer->encode("Hello", {.add_special =
//   true});
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/vocabulary.h"

struct rapid_tokenizer;  // of the Rust library

namespace rapid {

// Byte range [begin, end) of a rendered prompt.
struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
};

struct EncodeOptions {
  // Apply the tokenizer's own post-processor (BOS, EOS, if it has them).
  bool add_special = false;
  // Recognise special and added tokens in the text...
  bool parse_special = true;
  // ...except where a match overlaps one of these spans (user data). Sorted,
  // disjoint. Added tokens that are plain text (whitespace runs, pieces of a
  // SentencePiece model marked user_defined) match everywhere.
  std::span<const TextSpan> untrusted = {};
};

class Tokenizer {
 public:
  // From the bytes of a tokenizer.json; `config` is tokenizer_config.json or
  // empty. Errors: corrupt (says what), unsupported.
  static Result<std::shared_ptr<const Tokenizer>> from_json(
      std::string_view tokenizer_json, std::string_view config = {});

  // From a GGUF vocabulary, through the builder API (never by JSON text).
  // Errors: unsupported names the model or pre-tokenizer.
  static Result<std::shared_ptr<const Tokenizer>> from_vocabulary(
      const Vocabulary& vocabulary);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions& options = {}) const;

  // The bytes of the tokens, joined; bytes that are not UTF-8 come out as
  // U+FFFD. Ids outside the vocabulary decode to nothing.
  std::string decode(
      std::span<const int32_t> ids, bool skip_special = false) const;

  // The exact bytes one token stands for, not always UTF-8 by themselves
  // ("\xC3" of a two-byte character). A special token's bytes are its name.
  std::string token_bytes(int32_t id) const;

  // The id whose name in the vocabulary is `name`.
  std::optional<int32_t> token_id(std::string_view name) const;

  bool is_special(int32_t id) const;
  // decode() drops one space at the start of the text.
  bool strips_leading_space() const;
  int32_t size() const;  // ids are [0, size)

  std::optional<int32_t> bos() const;
  std::optional<int32_t> eos() const;
  // Every token that ends a turn by the file's own word: eos, eot, eom.
  const std::vector<int32_t>& end_tokens() const;

 private:
  friend class GrammarVocabulary;
  struct Impl;
  const rapid_tokenizer* handle() const;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rapid
