// Streaming decode of one sequence of tokens. What push() returns is always
// whole characters; the concatenation of all pieces and of flush() equals
// Tokenizer::decode of all ids (skip_special as constructed). Not thread-safe;
// keeps the tokenizer alive.
//
//   Detokenizer text(tokenizer);
//   for (int32_t id : stream) out << text.push(id);
//   out << text.flush();
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace rapid {

class Detokenizer {
 public:
  explicit Detokenizer(
      std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true);

  // Text that became certain with this token; may be empty.
  std::string push(int32_t id);

  // What is still held: an unfinished character comes out as U+FFFD.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  bool strip_space_;  // the first text may lose its space
  std::string held_;  // the start of a character
};

}  // namespace rapid
