// A router that does not choose: the experts of a token are those that a table
// tells by its id; the logits say only how much each of them counts.
//
//   logits [T, E], ids [T] int32 -> weights [T, E] for a mixture of experts
//   with RouterScore::given: of each of the row's k experts its score over the
//   sum of all k, times scale; an expert that the table names twice counts
//   twice.
//
// Row-invariant.
#pragma once

#include <memory>

#include "kernels/moe.h"

namespace rapid {

struct TableRouter {
  mx::array table;  // [V, k] int32, each below E, evaluated
  RouterScore score = RouterScore::sqrt_softplus;
  float scale = 1.0f;
};

using TableRouterPtr = std::shared_ptr<const TableRouter>;

// Throws std::invalid_argument where shapes do not fit.
mx::array table_weights(
    const mx::array& logits,
    const mx::array& ids,
    const TableRouterPtr& router);
mx::array table_weights_reference(
    const mx::array& logits, const mx::array& ids, const TableRouter& router);

}  // namespace rapid
