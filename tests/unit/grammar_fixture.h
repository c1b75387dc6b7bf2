// Grammars over the small vocabulary of grammar_words.h, 40 rows longer.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "grammar_words.h"
#include "text/grammar.h"

namespace rapid::test {

struct GrammarFixture {
  Words words = byte_words();
  std::shared_ptr<const GrammarVocabulary> vocabulary = build_words(words, 40);
};

inline const GrammarFixture& fixture() {
  static const GrammarFixture made;
  return made;
}

inline std::shared_ptr<const Grammar> compile(
    GrammarSource::Kind kind,
    std::string text,
    GrammarReport* report = nullptr) {
  auto made =
      Grammar::compile(fixture().vocabulary, {kind, std::move(text)}, report);
  EXPECT_TRUE(made) << made.error().what;
  return made ? *made : nullptr;
}

inline Error refusal(GrammarSource::Kind kind, std::string text) {
  auto made =
      Grammar::compile(fixture().vocabulary, {kind, std::move(text)}, nullptr);
  EXPECT_FALSE(made);
  return made ? Error{} : made.error();
}

inline std::vector<uint32_t> mask(GrammarState& state) {
  std::vector<uint32_t> bits(fixture().vocabulary->mask_words(), 0xFFFFFFFF);
  const Status filled = state.fill_mask(bits);
  EXPECT_TRUE(filled) << filled.error().what;
  return bits;
}

inline bool allows(const std::vector<uint32_t>& bits, int32_t token) {
  return (bits[token / 32] >> (token % 32) & 1) != 0;
}

inline std::vector<int32_t> grammar_ids(const std::string& text) {
  return fixture().vocabulary->tokenizer().encode(
      text, {.parse_special = false});
}

// Every token allowed by its mask, an end token exactly where it may end.
inline bool takes(GrammarState& state, const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) {
    const auto bits = mask(state);
    EXPECT_EQ(allows(bits, fixture().words.end), state.accepting());
    if (!allows(bits, token)) {
      EXPECT_FALSE(state.accept(token)) << "the mask refused " << token;
      return false;
    }
    const Status accepted = state.accept(token);
    EXPECT_TRUE(accepted) << accepted.error().what;
  }
  return true;
}

inline bool fits(
    const std::shared_ptr<const Grammar>& grammar, const char* text) {
  if (!grammar) {
    return false;
  }
  GrammarState state(grammar);
  return takes(state, grammar_ids(text)) && state.accepting();
}

}  // namespace rapid::test
