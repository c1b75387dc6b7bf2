// What adapters add to the product of one matrix, for a block of a node's rows:
//
//   LowRankBlock low(scratch, adapted, weight, first, count);
//   low.take(m, x);                        // every row once, any thread
//   low.add(out, stride, column, width);   // columns of all rows, any thread
#pragma once

#include "kernels/low_rank.h"
#include "kernels/scratch.h"

namespace rapid {

class LowRankBlock {
 public:
  // Rows [first, first + count) of the batch.
  LowRankBlock(
      Scratch& scratch,
      AdaptedBatch adapted,
      const Weight& weight,
      int first,
      int count);

  // Some of these rows have a part here.
  bool any() const { return any_; }
  void take(int m, const float* x);
  // `column`: a multiple of kPanelRows, where the columns of `out` begin.
  void add(float* out, int64_t stride, int column, int width) const;

 private:
  struct Row {
    const LowRank* low = nullptr;
    float* inner = nullptr;  // x A^T [rank]
  };

  Row* rows_ = nullptr;
  int count_ = 0;
  bool any_ = false;
};

// What comes to a product's columns, which begin at `column` of its matrix:
// += bias, += what adapters add, then residual + that. Null: nothing.
struct ColumnFinish {
  const float* bias = nullptr;
  const LowRankBlock* low = nullptr;
  int column = 0;
  const float* residual = nullptr;
};

void finish_columns(
    float* out, const ColumnFinish& what, int rows, int64_t stride, int count);

// Rows of the batch that are adapted lie in [first, first + count).
bool has_adapted(AdaptedBatch adapted, int first, int count);

}  // namespace rapid
