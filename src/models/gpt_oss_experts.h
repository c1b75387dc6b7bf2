// Experts as Hugging Face's gpt-oss files have them, below experts:
//
//   gate_up_proj [E, K, 2I], down_proj [E, I, K]: floats, inputs first
//   gate_up_proj_blocks [E, 2I, K/32, 16], .._scales [E, 2I, K/32], the same
//   of down_proj: mxfp4 of the published checkpoints
//   gate_up_proj_bias [E, 2I], down_proj_bias [E, K]
//
// Rows of gate and up take turns. They are laid out anew, in memory of ours.
#pragma once

#include "hub/model_files.h"
#include "nn/moe.h"

namespace rapid {

bool has_gpt_oss_experts(const ModelFiles& files);

// `sparse_part` is the scope with experts below it.
Result<ExpertBanks> load_gpt_oss_experts(
    const WeightCursor& sparse_part, const MoeOptions& options);

}  // namespace rapid
