#include "kernels/low_rank_cpu.h"

#include <algorithm>

#include "kernels/cpu_rows.h"
#include "simd/simd.h"

namespace rapid {

LowRankBlock::LowRankBlock(
    Scratch& scratch,
    AdaptedBatch adapted,
    const Weight& weight,
    int first,
    int count)
    : count_(count) {
  for (const AdaptedRows& rows : adapted) {
    const int begin = std::max(rows.first - first, 0);
    const int end = std::min(rows.first + rows.rows - first, count);
    const LowRank* low = begin < end ? rows.adapter->find(weight) : nullptr;
    if (low == nullptr) {
      continue;
    }
    if (!any_) {
      rows_ = scratch.take<Row>(static_cast<size_t>(count));
      std::fill_n(rows_, count, Row());
      any_ = true;
    }
    const auto rank = static_cast<size_t>(low->rank());
    auto* inner = scratch.take<float>(static_cast<size_t>(end - begin) * rank);
    for (int m = begin; m < end; ++m, inner += rank) {
      rows_[m] = {low, inner};
    }
  }
}

void LowRankBlock::take(int m, const float* x) {
  if (!any_ || rows_[m].low == nullptr) {
    return;
  }
  const mx::array& down = rows_[m].low->down;
  const int rank = down.shape(0);
  kernel_table().dots(
      down.data<float>(), rank, x, 1, down.shape(1), rows_[m].inner, rank);
}

void LowRankBlock::add(
    float* out, int64_t stride, int column, int width) const {
  constexpr int kWidth = 256;
  float sums[kWidth];
  for (int m = 0; any_ && m < count_; ++m, out += stride) {
    const Row& row = rows_[m];
    if (row.low == nullptr) {
      continue;
    }
    const mx::array& up = row.low->up;
    const int64_t whole = up.shape(1);
    for (int at = 0; at < width; at += kWidth) {
      const int count = std::min(kWidth, width - at);
      kernel_table().weighted_sum(
          row.inner,
          up.data<float>() + column + at,
          whole,
          row.low->rank(),
          count,
          sums);
      for (int c = 0; c < count; ++c) {
        out[at + c] += sums[c];
      }
    }
  }
}

void finish_columns(
    float* out, const ColumnFinish& what, int rows, int64_t stride, int count) {
  if (what.low == nullptr || !what.low->any()) {
    add_columns(out, what.bias, what.residual, rows, stride, count);
    return;
  }
  add_columns(out, what.bias, nullptr, rows, stride, count);
  what.low->add(out, stride, what.column, count);
  add_columns(out, nullptr, what.residual, rows, stride, count);
}

bool has_adapted(AdaptedBatch adapted, int first, int count) {
  return std::ranges::any_of(adapted, [&](const AdaptedRows& rows) {
    return rows.first < first + count && first < rows.first + rows.rows;
  });
}

}  // namespace rapid
