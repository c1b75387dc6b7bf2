// The row-wise steps inside the fused nodes, as plain MLX ops: their
// definition, and what runs where a backend has no kernel. All float32.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace rapid {

// x / sqrt(mean(x^2) + eps) * weight over the last axis.
struct RmsNorm {
  mx::array weight;  // [D] float32, evaluated
  float eps = 1e-6f;
};

mx::array rms_norm_reference(const mx::array& x, const RmsNorm& norm);

enum class Activation { silu, gelu_tanh };

// activation(gate) * up, element by element, same shape.
mx::array gated_reference(
    const mx::array& gate, const mx::array& up, Activation activation);

struct RopeOptions {
  int dims = 0;  // rotated leading dims of each head, even; 0 = none
  float base = 10000.0f;
  float scale = 1.0f;        // positions are multiplied by it
  bool interleaved = false;  // pairs (0,1),(2,3).. instead of (i, i+dims/2)
  // Per-pair divisors [dims/2] of the frequencies, or empty; infinity leaves a
  // pair as it is.
  std::vector<float> frequency_factors;
  float amplitude = 1.0f;  // the rotated part is multiplied by it
  // A rotation of two forms: a sequence of more than `border` tokens has these
  // divisors at all its positions (form 1), one of fewer the others (form 0).
  // Empty and 0: there is one form.
  std::vector<float> long_factors = {};
  int border = 0;
};

constexpr int kRopeForms = 2;

// Radians per position of each pair [dims/2]: scale / base^(2i/dims) / factor.
std::vector<float> rope_frequencies(const RopeOptions& o, int form = 0);

// x [T, H, D], positions [T] int32: row t is rotated by positions[t].
mx::array rope_reference(
    const mx::array& x,
    const mx::array& positions,
    const RopeOptions& o,
    int form = 0);

}  // namespace rapid
