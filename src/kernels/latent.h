// What surrounds attention over latent vectors (multi-head latent attention):
// all heads share one key, a rotated part before a normed latent vector, which
// is also the value. Each head's unrotated query is taken into the latent
// space by a matrix of its own before, what it attended to out of it after.
//
//   latent_qkv     q [T, ..] (heads of nope, then rope dims), a [T, ..] with
//                  latent and rope dims from column `first` on
//               -> [T, (heads + 1) (rope + rank)]: the heads of q as
//                  (rope part | W_h nope part), then (rope part | normed
//                  latent): rows for attention() with KvSource::key
//   latent_values  what attention() gives, [T, heads (rope + rank)]
//               -> [T, heads values]: V_h of each head's last `rank` dims
//
// One arithmetic for prompts and single tokens. Products as in projection.h,
// row-invariant. Each is one node on the CPU.
#pragma once

#include <memory>

#include "kernels/moe.h"

namespace rapid {

struct LatentHeads {
  int heads = 0;
  int nope = 0;
  int rope = 0;
  int rank = 0;
  int values = 0;
  int first = 0;       // column of a
  ExpertBank absorb;   // a matrix [rank, nope] per head
  ExpertBank release;  // [values, rank]
  RmsNorm norm;        // of the latent vector

  int width() const { return rope + rank; }
};

using LatentHeadsPtr = std::shared_ptr<const LatentHeads>;

// Throw std::invalid_argument where shapes do not fit.
mx::array latent_qkv(
    const mx::array& q, const mx::array& a, const LatentHeadsPtr& heads);
mx::array latent_values(const mx::array& x, const LatentHeadsPtr& heads);

// The definitions.
mx::array latent_qkv_reference(
    const mx::array& q, const mx::array& a, const LatentHeads& heads);
mx::array latent_values_reference(const mx::array& x, const LatentHeads& heads);

}  // namespace rapid
