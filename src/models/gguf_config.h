// GGUF metadata as the config.json that the same model has on Hugging Face,
// so that an architecture reads one kind of configuration.
//
//   "llama.block_count" -> "num_hidden_layers", "llama.rope.freq_base" ->
//   "rope_theta", tokenizer.ggml.eos_token_id (and eot) -> "eos_token_id", ...
//
// vocab_size is the embedding's width where the metadata does not say it;
// head_dim, tie_word_embeddings are set from the metadata and the tensors, and
// the rotation's tensors (rope_freqs, rope_factors_*) are lists in
// rope_scaling.
#pragma once

#include "base/json.h"
#include "hub/model_files.h"

namespace rapid {

// A key with a number per layer becomes a list.
Result<Json> config_from_gguf(const ModelFiles& files);

// config.json, or GGUF's metadata in its form.
Result<Json> model_config(const ModelFiles& files);

}  // namespace rapid
