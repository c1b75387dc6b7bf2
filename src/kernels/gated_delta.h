// The mixer of a gated delta net layer (Yang et al. 2024), between the
// projection into it and the one out of it, as one node. Per row, from what the
// projection gave (q k v z b a):
//
//   q, k, v = silu(conv(q, k, v))              over the last `kernel` tokens
//   q = q / |q| / sqrt(Dk);  k = k / |k|       |x| = sqrt(sum x^2 + 1e-6)
//   g = exp(decay * softplus(a + dt_bias)),  beta = sigmoid(b)
//   S <- g S;  S <- S + k (beta (v - k S))^T   S [Dk, Dv] of a value head
//   out = rms_norm(q S) * silu(z)
//
// The arrays of a sequence: the convolution's last inputs [kernel - 1, C] with
// the channels of q, k and v of all heads one after another, and the states
// [Hv, Dk, Dv]. All float32, one arithmetic in token order: any split of the
// rows into calls gives the same bits. Threads take key heads.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/fold.h"

namespace rapid {

struct GatedDeltaShape {
  int key_heads = 0;
  int value_heads = 0;  // a multiple of the key heads
  int key_dim = 0;
  int value_dim = 0;
  int kernel = 0;

  int keys() const { return key_heads * key_dim; }
  int values() const { return value_heads * value_dim; }
  int channels() const { return 2 * keys() + values(); }
};

// Where a row keeps its parts: the first column of each head's.
struct GatedDeltaLayout {
  std::vector<int> q, k;        // by key head
  std::vector<int> v, z, b, a;  // by value head; b and a are one column
  std::vector<int> key_head;    // by value head: whose q and k it meets
  int width = 0;

  // q | k | v | z | b | a; value heads that share a key head are neighbours.
  static GatedDeltaLayout in_turn(const GatedDeltaShape& shape);
  // The parts of a key head together: (q k v.. z..) of each, then (b.. a..).
  static GatedDeltaLayout by_key_head(const GatedDeltaShape& shape);
};

struct GatedDelta {
  GatedDeltaShape shape;
  GatedDeltaLayout layout;
  mx::array conv;     // [kernel, C], the latest token's weight last
  mx::array decay;    // [Hv], below 0
  mx::array dt_bias;  // [Hv]
  RmsNorm norm;       // over Dv
};

using GatedDeltaPtr = std::shared_ptr<const GatedDelta>;

// x [T, width] -> out [T, Hv Dv]. Throws std::invalid_argument where shapes do
// not fit.
Folded gated_delta(
    const mx::array& x,
    const GatedDeltaPtr& layer,
    std::span<const FoldRows> batch);

Folded gated_delta_reference(
    const mx::array& x,
    const GatedDelta& layer,
    std::span<const FoldRows> batch);

}  // namespace rapid
