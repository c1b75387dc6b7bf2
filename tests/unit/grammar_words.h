// Vocabularies for grammars: bytes, some merges, markers; and a large one.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "text/grammar.h"

namespace rapid::test {

inline std::string utf8_of(uint32_t code) {
  if (code < 0x80) {
    return {static_cast<char>(code)};
  }
  return {
      static_cast<char>(0xC0 | (code >> 6)),
      static_cast<char>(0x80 | (code & 0x3F))};
}

// How a byte-level vocabulary writes `text`.
inline std::string letters(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const int byte = static_cast<unsigned char>(c);
    const bool printable = (byte >= 0x21 && byte <= 0x7E) ||
                           (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    out += utf8_of(
        printable      ? byte
        : byte <= 0x20 ? 0x100 + byte
        : byte < 0xAD  ? 0x121 + byte - 0x7F
                       : 0x143);
  }
  return out;
}

// Ids 0-255 are the bytes, 256.. the merges, then <|end|>, <tool_call> and
// </tool_call>: the last two without the flag of a special token.
struct Words {
  int32_t end = 0;
  int32_t call = 0;
  int32_t call_end = 0;
  Vocabulary vocabulary;
};

inline Words byte_words(int random_words = 0) {
  Words out;
  Vocabulary& to = out.vocabulary;
  to.model = "gpt2";
  to.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    to.tokens.push_back(letters(std::string(1, static_cast<char>(byte))));
  }
  for (const auto& [left, right] :
       std::initializer_list<std::pair<std::string, std::string>>{
           {"{", "\""},
           {"\"", ":"},
           {"\"", ","},
           {"\":", " "},
           {"t", "r"},
           {"tr", "u"},
           {"tru", "e"},
           {"n", "a"}}) {
    to.tokens.push_back(letters(left + right));
    to.merges.push_back(letters(left) + " " + letters(right));
  }
  std::set<std::string> seen(to.tokens.begin(), to.tokens.end());
  std::mt19937 random(7);
  const std::string alphabet =
      "etaoinshrdlucmfwypvbgkjqxz    ETAOIN0123456789_-.,:;{}[]()\"'\n\xC3\xA9";
  while (static_cast<int>(to.tokens.size()) < random_words) {
    std::string word(1 + random() % 9, ' ');
    for (char& c : word) {
      c = alphabet[random() % alphabet.size()];
    }
    if (seen.insert(letters(word)).second) {
      to.tokens.push_back(letters(word));
    }
  }
  to.kinds.assign(to.tokens.size(), Vocabulary::Kind::normal);
  const auto add = [&](const char* name, Vocabulary::Kind kind) {
    to.tokens.emplace_back(name);
    to.kinds.push_back(kind);
    return static_cast<int32_t>(to.tokens.size()) - 1;
  };
  out.end = add("<|end|>", Vocabulary::Kind::control);
  out.call = add("<tool_call>", Vocabulary::Kind::user_defined);
  out.call_end = add("</tool_call>", Vocabulary::Kind::user_defined);
  to.eos = out.end;
  return out;
}

inline std::shared_ptr<const GrammarVocabulary> build_words(
    const Words& words, int extra_rows = 0) {
  auto tokenizer = Tokenizer::from_vocabulary(words.vocabulary);
  EXPECT_TRUE(tokenizer) << tokenizer.error().what;
  const std::vector<int32_t> ends = {words.end};
  auto made = GrammarVocabulary::build(
      *tokenizer, ends, (*tokenizer)->size() + extra_rows);
  EXPECT_TRUE(made) << made.error().what;
  return *made;
}

}  // namespace rapid::test
