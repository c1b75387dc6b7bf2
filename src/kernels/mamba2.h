// The mixer of a Mamba2 layer (Dao & Gu 2024) between its projections, as one
// node. Per row, which holds z [I], x [I], B [G N], C [G N] and dt [H] one
// after another, I = H P, a group's heads being neighbours:
//
//   x, B, C = silu(conv(x, B, C))           over the last `kernel` tokens
//   dt = softplus(dt + dt_bias), within [dt_min, dt_max]
//   S <- exp(decay dt) S + B (dt x)^T       S [N, P] of a head
//   y = C S + D x
//   out = rms_norm(y * silu(z))             over the heads of a group
//
// The arrays of a sequence: the convolution's last inputs [kernel - 1, I + 2 G
// N] and the states [H, N, P]. All float32, one arithmetic in token order: any
// split of the rows into calls gives the same bits. Threads take heads.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <span>

#include "kernels/elementwise.h"
#include "kernels/fold.h"

namespace rapid {

struct Mamba2Shape {
  int heads = 0;
  int head_dim = 0;
  int groups = 0;  // a divisor of the heads
  int state_dim = 0;
  int kernel = 0;

  int inner() const { return heads * head_dim; }
  int channels() const { return inner() + 2 * groups * state_dim; }
  int width() const { return inner() + channels() + heads; }
};

struct Mamba2 {
  Mamba2Shape shape;
  mx::array conv;                      // [kernel, C], the latest token's last
  std::optional<mx::array> conv_bias;  // [C]
  mx::array decay;                     // [H], below 0
  mx::array dt_bias;                   // [H]
  mx::array skip;                      // [H], D above
  RmsNorm norm;                        // over I, in groups
  float dt_min = 0;
  float dt_max = std::numeric_limits<float>::infinity();
};

using Mamba2Ptr = std::shared_ptr<const Mamba2>;

// x [T, width] -> out [T, I]. Throws std::invalid_argument where shapes do not
// fit.
Folded mamba2(
    const mx::array& x,
    const Mamba2Ptr& layer,
    std::span<const FoldRows> batch);

Folded mamba2_reference(
    const mx::array& x, const Mamba2& layer, std::span<const FoldRows> batch);

}  // namespace rapid
