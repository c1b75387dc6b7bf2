// Writes a folder in MLX's format from one with plain weights: what MLX-LM's
// converter makes of it (tools/make_convert_goldens.py compares).
//
//   RAPID_TRY(auto done, convert_model({.from = in, .to = out, .bits = 4}));
//
// Every matrix (a two-dimensional *.weight, experts' as one stack) whose rows
// divide into groups is quantised; families' own ways are in
// models/convert_rules.h; other parameters are cast to `dtype` or stay as they
// are. Written: model*.safetensors of at most `shard_bytes` each, their index,
// config.json with the "quantization" object (and one entry per module where a
// predicate chose), and copies of the tokenizer's files. `to` must not exist;
// it appears when all of it is there. One shard is in memory at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace rapid {

struct ConvertOptions {
  std::string from;
  std::string to;
  bool quantise = true;
  std::string mode = "affine";  // affine, mxfp4, nvfp4, mxfp8
  int bits = 0;                 // 0 = the mode's own
  int group_size = 0;           // 0 = the mode's own
  // "", mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6: fewer bits for most
  // modules, more for values, some down projections and the head. Affine only.
  std::string predicate;
  std::string dtype;  // float16, bfloat16, float32; "" = config's torch_dtype
  uint64_t shard_bytes = uint64_t{5} << 30;
  // After every tensor: bytes written of all that will be read.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

struct ConvertReport {
  uint64_t tensors = 0;
  uint64_t bytes = 0;  // of all tensors written
  int shards = 0;
  double bits_per_weight = 0;
};

// Errors: invalid_argument (options that do not go together, `to` exists),
// unsupported (GGUF, quantised already, experts in an order of their own), io.
Result<ConvertReport> convert_model(const ConvertOptions& options);

}  // namespace rapid
