// What a model's files say about it, without its weights being read.
//
//   RAPID_TRY(auto files, ModelFiles::open(path));
//   ModelFacts facts = model_facts(*files);
#pragma once

#include <cstdint>
#include <string>

#include "hub/model_files.h"

namespace rapid {

struct ModelFacts {
  std::string container;     // "GGUF" or "safetensors"
  std::string title;         // the name that the file gives itself, or ""
  int64_t parameters = 0;    // as trained: packed words count what they hold
  std::string quantisation;  // "Q4_K 58 %, Q6_K 31 %, ..." of the bytes
  uint64_t file_bytes = 0;   // of all its files
  uint64_t weight_bytes = 0;
  int tensors = 0;
  // 0 where the files do not say.
  int64_t context_length = 0;
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t vocabulary = 0;  // rows of the embedding
};

ModelFacts model_facts(const ModelFiles& files);

}  // namespace rapid
