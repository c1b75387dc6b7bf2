// How the fused nodes share their work out, and the activation rows they do it
// on. Few rows: every loop runs on all threads. Many rows: each thread takes
// blocks of rows and does all of the node's steps for them, without waiting.
// A row's result is the same either way.
#pragma once

#include <algorithm>
#include <optional>

#include "kernels/cpu_matrix.h"
#include "kernels/projection.h"
#include "kernels/scratch.h"
#include "simd/thread_pool.h"

namespace rapid {

// Who runs a loop: all threads, or the one that asks.
class Team {
 public:
  static Team everybody() { return Team(true); }
  static Team alone() { return Team(false); }

  template <typename F>
  void run(int count, int grain, F&& body) const {
    if (everybody_) {
      ThreadPool::global().run(count, grain, body);
    } else if (count > 0) {
      body(0, count);
    }
  }

 private:
  explicit Team(bool everybody) : everybody_(everybody) {}
  bool everybody_;
};

// Calls body(first_row, rows, team) until all rows are covered.
template <typename F>
void for_row_blocks(int rows, F&& body) {
  constexpr int kMost = 32;
  ThreadPool& pool = ThreadPool::global();
  if (rows < 16 * pool.threads()) {
    body(0, rows, Team::everybody());
    return;
  }
  const int even = (rows + pool.threads() - 1) / pool.threads();
  const int block = std::min(kMost, (even + 7) / 8 * 8);
  pool.run((rows + block - 1) / block, 1, [&](int begin, int end) {
    for (int b = begin; b < end; ++b) {
      const int first = b * block;
      body(first, std::min(block, rows - first), Team::alone());
    }
  });
}

// Pieces of a loop over a matrix's panels that are worth waking a thread for.
inline int panel_grain(int cols, int rows) {
  const int64_t work = int64_t{kPanelRows} * std::max(cols, 1) * rows;
  return static_cast<int>(std::clamp<int64_t>(32768 / work, 1, 4096));
}

// Rows of inputs in the forms that a node's matrices need: float32, int8 or
// both; `fine`: int8 twice, the second time what the first left over. The
// memory is a frame's.
class RowBuffer {
 public:
  RowBuffer(
      Scratch& scratch,
      int count,
      int cols,
      bool floats,
      bool codes,
      bool fine = false);

  // Row `m` from float32 input, normed first if a norm is given.
  void set(int m, const float* x, const RmsNorm* norm);
  // 32 columns from `column` on of row `m`, which is not normed.
  void set_block(int m, int column, const float* x);
  // Columns [column, column + count) of row `m`; floats only.
  void set_part(int m, int column, const float* x, int count);

  ActivationRows view() const { return {values_, quantised_, count_}; }
  // The int8 rows, then those of what they left over.
  ActivationRows fine_view() const { return {nullptr, quantised_, 2 * count_}; }
  bool floats() const { return values_ != nullptr; }
  bool codes() const { return quantised_ != nullptr; }

 private:
  void quantise(size_t row, const float* x);

  int count_;
  int cols_;
  bool fine_;
  size_t stride_;  // of a row's codes
  float* values_ = nullptr;
  int8_t* codes_ = nullptr;
  float* scales_ = nullptr;
  int32_t* sums_ = nullptr;
  QuantisedRow* quantised_ = nullptr;
};

// out[m][c] += bias[c], and then += residual[m][c], for `count` columns.
void add_columns(
    float* out,
    const float* bias,
    const float* residual,
    int rows,
    int64_t stride,
    int count);

// The last step of a node, over whole rows [T, width] of out.
void finish_row(
    float* out, const RmsNorm& after, const float* residual, int width);

}  // namespace rapid
