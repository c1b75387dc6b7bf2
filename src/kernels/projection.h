// Matrix products with what surrounds them in a layer, as one node:
//
//   y = residual + after(concat_i(before(x) W_i^T + b_i))
//
// with what the adapters of some rows add to the products (low_rank.h).
// Norms, biases and the residual may be absent. x [T, K] float32 ->
// y [T, N_1 + N_2 + ...] float32. The reduction over K has one fixed order per
// (weight type, instruction set), the same for one row and for many.
//
// A weight that prepare() packed is met with activations rounded to int8 in
// blocks of 32 columns (round_to_int8 below is the definition); any other, and
// every weight of an `exact` model, with the float32 activations themselves.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/low_rank.h"
#include "tensor/weight.h"

namespace rapid {

struct Linear {
  WeightPtr weight;               // [N, K]
  std::optional<mx::array> bias;  // [N] float32, evaluated
};

struct Projection {
  std::vector<Linear> parts;
  std::optional<RmsNorm> before;
  std::optional<RmsNorm> after;  // over the whole row of the result
  // Packed weights meet activations of twice the bits: int8, and int8 of what
  // that left over. For the head, whose errors go straight into the logits.
  bool fine = false;
};

using ProjectionPtr = std::shared_ptr<const Projection>;

// Lays a weight out for the products of the default device. At load, once.
void prepare(const Weight& weight);

// Throws std::invalid_argument where shapes do not fit.
mx::array project(
    const mx::array& x,
    const ProjectionPtr& projection,
    const std::optional<mx::array>& residual = std::nullopt,
    AdaptedBatch adapted = {});

mx::array project_reference(
    const mx::array& x,
    const Projection& projection,
    const std::optional<mx::array>& residual = std::nullopt,
    AdaptedBatch adapted = {});

// The plain product, with the rounding that `linear.weight` asks for.
mx::array linear_reference(
    const mx::array& x,
    const Linear& linear,
    bool fine = false,
    AdaptedBatch adapted = {});

// x [.., K], K a multiple of 32, with every block of 32 rounded to multiples
// of its largest magnitude / 127.
mx::array round_to_int8(const mx::array& x);

}  // namespace rapid
