#include "kernels/table_router.h"

#include <stdexcept>

#include "kernels/table_router_cpu.h"

namespace rapid {

namespace {

void check(
    const mx::array& logits, const mx::array& ids, const TableRouter& router) {
  if (logits.ndim() != 2 || ids.ndim() != 1 ||
      logits.shape(0) != ids.shape(0) || router.table.ndim() != 2) {
    throw std::invalid_argument("table_weights: the shapes do not fit");
  }
}

}  // namespace

mx::array table_weights_reference(
    const mx::array& logits, const mx::array& ids, const TableRouter& router) {
  check(logits, ids, router);
  const mx::array experts = mx::take(router.table, ids, 0);  // [T, k]
  const mx::array scores =
      mx::take_along_axis(router_scores(logits, router.score), experts, 1);
  const mx::array weights = mx::multiply(
      mx::divide(
          scores, mx::add(mx::sum(scores, 1, true), mx::array(kTinySum))),
      mx::array(router.scale));
  const mx::array mine = mx::equal(
      mx::expand_dims(experts, 2),
      mx::reshape(mx::arange(logits.shape(1)), {1, 1, logits.shape(1)}));
  return mx::sum(
      mx::where(mine, mx::expand_dims(weights, 2), mx::array(0.0f)), 1);
}

mx::array table_weights(
    const mx::array& logits,
    const mx::array& ids,
    const TableRouterPtr& router) {
  check(logits, ids, *router);
  return cpu_kernels_active() ? table_weights_cpu(logits, ids, router)
                              : table_weights_reference(logits, ids, *router);
}

}  // namespace rapid
