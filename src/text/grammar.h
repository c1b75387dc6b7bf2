// Constrained decoding: which tokens may follow so that the output fits a JSON
// Schema, a regular expression or a Lark grammar (of llguidance).
//
// Invariants: a grammar that cannot be compiled is an error with the
// compiler's words, never a looser grammar; the one exception, a keyword of a
// schema that the compiler lacks, is left out at its place only and named in
// the report. Any way to cut an allowed text into tokens is allowed. Special
// tokens never match text; Lark names them: `<tool_call>`. An end token is
// allowed exactly where the grammar may end.
// Threads: vocabularies and grammars are immutable; a state belongs to one
// thread at a time. Compiling takes 1-20 ms (at most 10 s, then an error), a
// mask 5-500 us with 150,000 tokens, a vocabulary 0.5 s and 60 MB (Gemma: 1.1
// s, 107 MB).
//
//   RAPID_TRY(auto words, GrammarVocabulary::build(*tokenizer, ends, rows));
//   RAPID_TRY(auto grammar, Grammar::compile(words, {.kind =
//   GrammarSource::Kind::json_object}, nullptr));
//   GrammarState state(grammar);
//   RAPID_CHECK(state.fill_mask(bits));  // sample among them, then
//   RAPID_CHECK(state.accept(token));
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/tokenizer.h"

namespace rapid {

// What the text must be. Plain values: it crosses process borders.
struct GrammarSource {
  enum class Kind { json_schema, json_object, regex, lark };

  Kind kind = Kind::json_object;
  std::string text;  // json_object: any object, no text. At most 256 KiB

  bool operator==(const GrammarSource&) const = default;
};

// The vocabulary's trie. Immutable.
class GrammarVocabulary {
 public:
  // `rows`: of the model's logits, at least tokenizer.size(); what lies
  // behind the tokenizer is never allowed. At least one end token.
  static Result<std::shared_ptr<const GrammarVocabulary>> build(
      std::shared_ptr<const Tokenizer> tokenizer,
      std::span<const int32_t> end_tokens,
      int32_t rows);

  ~GrammarVocabulary();
  GrammarVocabulary(const GrammarVocabulary&) = delete;
  GrammarVocabulary& operator=(const GrammarVocabulary&) = delete;

  int32_t rows() const { return rows_; }
  size_t mask_words() const { return (static_cast<size_t>(rows_) + 31) / 32; }
  const std::vector<int32_t>& end_tokens() const { return end_tokens_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

  // A token that no text leads to and that Lark names: special ones, and
  // added ones that look like `<tool_call>` or `[ARGS]`.
  bool is_marker(int32_t id) const;
  // What the trie holds, a marker's name included; empty for tokens that are
  // never allowed as text (bytes that occur in no UTF-8, gaps).
  std::string token_bytes(int32_t id) const;

 private:
  friend class Grammar;
  struct Impl;
  explicit GrammarVocabulary(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<int32_t> end_tokens_;
  int32_t rows_ = 0;
};

struct GrammarReport {
  // "properties.name: patternProperties": left out of the schema, there only.
  std::vector<std::string> relaxed;
};

class Grammar {
 public:
  // Errors: invalid_argument with the compiler's words.
  static Result<std::shared_ptr<const Grammar>> compile(
      std::shared_ptr<const GrammarVocabulary> vocabulary,
      const GrammarSource& source,
      GrammarReport* report);

  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  const GrammarVocabulary& vocabulary() const { return *vocabulary_; }

 private:
  friend class GrammarState;
  struct Impl;
  explicit Grammar(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
};

// Where a text stands in its grammar.
class GrammarState {
 public:
  explicit GrammarState(std::shared_ptr<const Grammar> grammar);
  ~GrammarState();
  GrammarState(GrammarState&&) noexcept;
  GrammarState& operator=(GrammarState&&) noexcept;

  // Its own way from here on. Caches are shared behind a lock that a call
  // holds to its end: a row waits at most for another's mask.
  GrammarState clone() const;

  // Bit i % 32 of word i / 32 says whether token i may follow. Words beyond
  // the vocabulary are 0. Errors: the text became too complex for the limits.
  Status fill_mask(std::span<uint32_t> bits);
  // Refuses a token that may not follow, and then changes nothing. An end
  // token is one of them; behind it only ends may follow.
  Status accept(int32_t token);
  bool accepting();      // the text may end here
  bool stopped() const;  // nothing but an end token may follow
  // Takes back the last `tokens` accepted ones. Errors: there are less; then
  // nothing changes.
  Status rollback(int tokens);
  // Tokens that must follow, as the tokenizer cuts them; may be empty. Leaves
  // out the last one, which what comes then may be part of.
  std::vector<int32_t> forced() const;

 private:
  struct Impl;
  GrammarState(std::shared_ptr<const Grammar> grammar, Impl* impl);

  std::shared_ptr<const Grammar> grammar_;
  std::unique_ptr<Impl> impl_;
};

struct RelaxedSchema {
  Json schema;  // to embed into Lark: %json {...}
  std::vector<std::string> relaxed;
};
// The schema without what the compiler lacks. Errors: invalid_argument when
// it cannot be compiled at all.
Result<RelaxedSchema> relax_schema(const Json& schema);

}  // namespace rapid
