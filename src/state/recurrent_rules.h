// The three recurrences that hybrids use, as plain operations in token order:
// the definitions that kernels are held to, and what a tape is replayed with
// unless a model brings its own rule with the kernel's arithmetic.
//
// Gated delta rule (Yang et al. 2024, "Gated Delta Networks"), per head:
//   S <- exp(g) S;  S <- S + beta (v - S k) k^T
//   arrays: S [H, Dv, Dk]; rows: k [T, H, Dk], v [T, H, Dv], g [T, H],
//   beta [T, H]
// Mamba2 (Dao & Gu 2024), per head: S <- exp(a) S + x b^T
//   arrays: S [H, P, N]; rows: x [T, H, P] (times dt), b [T, H, N], a [T, H]
// Short convolution: the last K - 1 inputs
//   arrays: C [K - 1, D]; rows: x [T, D]
// Everything is float32.
#pragma once

#include <memory>

#include "state/recurrent.h"

namespace rapid {

std::shared_ptr<const RecurrentRule> gated_delta_rule(
    int heads, int value_dim, int key_dim);
std::shared_ptr<const RecurrentRule> mamba2_rule(
    int heads, int head_dim, int state_dim);
std::shared_ptr<const RecurrentRule> short_conv_rule(int kernel, int channels);

// Two or more rules of one layer as one: arrays and rows one after another.
std::shared_ptr<const RecurrentRule> joined_rules(
    std::vector<std::shared_ptr<const RecurrentRule>> parts,
    std::vector<int> rows_of_each);

}  // namespace rapid
