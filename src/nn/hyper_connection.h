// Loads what ties a layer's part to several residual streams of a token
// (kernels/streams.h): the matrix that the gates come from, of all streams
// normed together, and the gates' base and scale.
//
//   const auto in = hyper.read(x);            // x [T, N H] -> [T, H], gates
//   x = hyper.write(part(in.rows), in.gates, x);
#pragma once

#include "kernels/projection.h"
#include "kernels/streams.h"
#include "tensor/weight_map.h"

namespace rapid {

struct HyperOptions {
  int hidden = 0;  // of one stream
  int streams = 1;
  int rounds = 1;
  float eps = 1e-6f;
  float norm_eps = 1e-6f;
  bool last = false;  // reads only: the end of the streams
};

class HyperConnection {
 public:
  // Parameters fn [M, N H], base [M] and scale [3 or 1] below the cursor;
  // M = (2 + N) N, or N where `last`.
  static Result<HyperConnection> load(
      const WeightCursor& cursor, const HyperOptions& options);

  struct In {
    mx::array rows;   // [T, H]
    mx::array gates;  // [T, M]
  };
  In read(const mx::array& x) const;
  mx::array write(
      const mx::array& y, const mx::array& gates, const mx::array& x) const;

 private:
  HyperConnection(ProjectionPtr mixes, StreamGatesPtr how)
      : mixes_(std::move(mixes)), how_(std::move(how)) {}

  ProjectionPtr mixes_;
  StreamGatesPtr how_;
};

}  // namespace rapid
