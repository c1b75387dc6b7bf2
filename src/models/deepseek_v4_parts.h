// What DeepSeek V4 has of its own beside its layers: how its config.json says
// what the layers are, how its checkpoints name and pack parameters.
#pragma once

#include <vector>

#include "models/config.h"
#include "models/model.h"
#include "nn/compressed_attention.h"
#include "nn/hyper_connection.h"
#include "nn/moe.h"

namespace rapid {

struct DeepseekV4Config {
  DecoderConfig shape;
  HyperOptions streams;
  std::vector<CompressedAttentionOptions> attention;  // of each layer
  std::vector<bool> by_table;  // whether its experts come from a table
  MoeOptions moe;              // all but the shared part's width
};

// Errors: `corrupt` and `unsupported`, naming the key.
Result<DeepseekV4Config> read_deepseek_v4(const Json& config);

// Three ways to name parameters: as published (`bare`: no "model." before the
// layers), as transformers saves them (the published leaves below "model."),
// and as transformers and MLX have them in memory.
struct DeepseekV4Names {
  bool bare = false;
  Renames renames;  // to transformers', with the index beside the compressor
};
DeepseekV4Names deepseek_v4_names(const ModelFiles& files);

// Experts apart whose nibbles are e2m1, with an exponent for each 32 of a row;
// nothing where the experts lie otherwise.
Result<std::optional<ExpertBanks>> load_packed_experts(
    const WeightCursor& mlp, const MoeOptions& options);

}  // namespace rapid
