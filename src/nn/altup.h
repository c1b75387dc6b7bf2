// Alternating updates: a token has several residual streams, one of which a
// layer works on. What it would make of all of them is predicted first, and
// corrected by what it did (Baykal et al. 2023, as in Gemma 3n):
//
//   m(v)     tanh(W_r norm(v) / H)
//   predict  p_j = x_j + sum_i (P m(x_a))[j N + i] x_i
//   correct  p_j + (1 + (C m(y))_j) (y - p_a)     y: what the layer gave
//
// Streams lie in a row of N H; a is the active one.
#pragma once

#include <optional>

#include "kernels/projection.h"
#include "kernels/streams.h"
#include "tensor/weight_map.h"

namespace rapid {

struct AltUpOptions {
  int hidden = 0;  // of a stream
  int streams = 1;
  int active = 0;
  float norm_eps = 1e-6f;
  bool scaled = true;  // correct() scales the active stream it gives
};

class AltUp {
 public:
  // modality_router, router_norm, prediction_coefs, correction_coefs and
  // correct_output_scale below the cursor.
  static Result<AltUp> load(
      const WeightCursor& cursor, const AltUpOptions& options);

  struct Streams {
    mx::array all;     // [T, N H]
    mx::array active;  // [T, H]
  };
  Streams predict(const mx::array& x) const;
  // `active` is scaled, its stream is not.
  Streams correct(const mx::array& predicted, const mx::array& y) const;
  // y [T, H] to all streams but the first.
  mx::array add(const mx::array& y, const mx::array& x) const;

 private:
  explicit AltUp(const AltUpOptions& o) : o_(o) {}
  mx::array routes(const mx::array& v) const;

  AltUpOptions o_;
  ProjectionPtr router_;
  StreamMapPtr predict_;
  StreamMapPtr correct_;
  StreamMapPtr add_;
  std::optional<mx::array> scale_;  // [H]
};

}  // namespace rapid
