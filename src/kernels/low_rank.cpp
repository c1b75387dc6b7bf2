#include "kernels/low_rank.h"

namespace rapid {

mx::array low_rank_reference(
    const mx::array& y,
    const mx::array& x,
    const Weight& weight,
    AdaptedBatch adapted) {
  mx::array out = y;
  for (const AdaptedRows& rows : adapted) {
    const LowRank* low = rows.adapter->find(weight);
    if (low == nullptr) {
      continue;
    }
    const int end = rows.first + rows.rows;
    const auto part = [&](const mx::array& a) {
      return mx::slice(a, {rows.first, 0}, {end, a.shape(1)});
    };
    const mx::array change =
        mx::matmul(mx::matmul(part(x), mx::transpose(low->down)), low->up);
    out = mx::slice_update(
        out,
        mx::add(part(out), change),
        mx::Shape{rows.first, 0},
        mx::Shape{end, out.shape(1)});
  }
  return out;
}

}  // namespace rapid
