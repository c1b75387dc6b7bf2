// A vocabulary as a GGUF file carries it: plain values, no tokenizer yet.
// hub/ fills it, Tokenizer::from_vocabulary builds from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rapid {

struct Vocabulary {
  enum class Kind : uint8_t {
    normal = 1,
    unknown = 2,
    control = 3,  // never matched in text that a user wrote
    user_defined = 4,
    unused = 5,
    byte = 6,
  };

  std::string model;  // tokenizer.ggml.model: "gpt2" (BPE) or "llama"
  std::string pre;    // tokenizer.ggml.pre: names the pre-tokenizer
  std::vector<std::string> tokens;  // index = id
  std::vector<float> scores;        // llama only
  std::vector<Kind> kinds;          // empty = all normal
  std::vector<std::string> merges;  // gpt2 only: "left right"
  int32_t bos = -1;                 // -1 = none
  int32_t eos = -1;
  int32_t eot = -1;
  int32_t eom = -1;
  int32_t unknown = -1;
  int32_t padding = -1;
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;
};

}  // namespace rapid
