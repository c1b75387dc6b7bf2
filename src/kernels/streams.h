// Several residual streams a token (hyper-connections): a row x [N H] is N
// streams of H. What a layer's part takes in is a weighted sum of them, and
// what it gives goes to all, which are mixed by a matrix first:
//
//   stream_gates  mixes [T, (2 + N) N] -> the same shape: pre [N], post [N] and
//                 mix [N, N], made doubly stochastic; or [T, N] -> pre alone.
//                   pre  = sigmoid(mixes scale_0 + base) + eps
//                   post = 2 sigmoid(mixes scale_1 + base)
//                   mix  = softmax of each row (mixes scale_2 + base) + eps,
//                          columns to a sum of 1, then `rounds` - 1 times rows
//                          and columns
//   stream_map    routes [T, K] -> gates of the same kind, linear in what the
//                 routes say: base + weight tanh(routes)
//   stream_read   x, gates -> [T, H]: sum over i of pre_i x_i
//   stream_write  y [T, H], gates, x -> [T, N H]: post_j y + sum_i mix_ij x_i
//
// All float32, row-invariant.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace rapid {

struct StreamGates {
  int streams = 1;
  int rounds = 1;
  float eps = 1e-6f;
  mx::array base;   // [(2 + N) N] or [N], float32, evaluated
  mx::array scale;  // [3] or [1]
};

using StreamGatesPtr = std::shared_ptr<const StreamGates>;

struct StreamMap {
  mx::array weight;  // [M, K] float32, evaluated
  mx::array base;    // [M]
};

using StreamMapPtr = std::shared_ptr<const StreamMap>;

// Throw std::invalid_argument where shapes do not fit.
mx::array stream_gates(const mx::array& mixes, const StreamGatesPtr& how);
mx::array stream_map(const mx::array& routes, const StreamMapPtr& map);
mx::array stream_read(const mx::array& x, const mx::array& gates, int streams);
mx::array stream_write(
    const mx::array& y,
    const mx::array& gates,
    const mx::array& x,
    int streams);

// The definitions.
mx::array stream_gates_reference(
    const mx::array& mixes, const StreamGates& how);
mx::array stream_map_reference(const mx::array& routes, const StreamMap& map);
mx::array stream_read_reference(
    const mx::array& x, const mx::array& gates, int streams);
mx::array stream_write_reference(
    const mx::array& y,
    const mx::array& gates,
    const mx::array& x,
    int streams);

}  // namespace rapid
