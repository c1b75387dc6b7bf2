// What the configuration of Gemma 3n says of its text part.
//
// Quirk: older files say the rotation of sliding layers by
// rope_local_base_freq.
#pragma once

#include <vector>

#include "hub/model_files.h"
#include "models/config.h"
#include "models/rope_config.h"
#include "nn/altup.h"
#include "nn/token_parts.h"

namespace rapid {

struct Gemma3nLayer {
  bool shared = false;  // reads the keys of `state`
  int state = 0;
  int window = 0;
  int inner = 0;
  float sparsity = 0;  // of the gates
  RopeOptions rope;
};

struct Gemma3nConfig {
  DecoderConfig shape;
  std::vector<Gemma3nLayer> layers;
  TokenPartOptions token;
  AltUpOptions altup;
  int laurel_rank = 0;
  float logit_softcap = 0;
};

// Errors: `corrupt` names the key; `unsupported` for GGUF.
Result<Gemma3nConfig> read_gemma3n_config(const ModelFiles& files, int context);

}  // namespace rapid
