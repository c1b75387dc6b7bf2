// What Gemma 4's layers are like, from config.json in its several forms
// (global_head_dim and its kin, or per_layer_config by index) or from GGUF's
// lists.
#pragma once

#include <vector>

#include "models/decoder.h"

namespace rapid {

struct Gemma4Layer {
  bool shared = false;  // reads the keys of `state`, has none of its own
  int state = 0;        // among the layers with keys of their own
  int head_dim = 0;
  int kv_heads = 0;
  int window = 0;
  bool key_is_value = false;  // there is no v_proj
  int inner = 0;
  RopeOptions rope;
};

struct Gemma4Config {
  DecoderConfig shape;  // head_dim: the largest
  std::vector<Gemma4Layer> layers;
  int token_part = 0;  // width of a layer's own part of the token; 0 = none
  int token_rows = 0;  // of the table that holds them
  // Experts beside each layer's feed-forward part; 0 = none.
  int experts = 0;
  int top_k = 0;
  int expert_inner = 0;
  Bias bias = Bias::none;
  float logit_softcap = 0.0f;
};

// Errors: unsupported for attention in both directions.
Result<Gemma4Config> read_gemma4_config(const ModelFiles& files, int context);

}  // namespace rapid
