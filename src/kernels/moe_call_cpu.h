// One call of mixture_of_experts as its kernel sees it.
#pragma once

#include "kernels/cpu_rows.h"
#include "kernels/moe.h"

namespace rapid {

constexpr int kTileRows = 32;  // that meet a matrix's panels together

struct ExpertCall {
  const MixtureOfExperts* moe = nullptr;
  const float* x = nullptr;         // [count, cols]
  const float* residual = nullptr;  // [count, width] or null
  const float* scores = nullptr;    // [count, experts] or null
  float* out = nullptr;             // [count, width]
  int cols = 0;
  int width = 0;
};

// One matrix of one expert.
struct ExpertMatrix {
  CpuMatrix all;
  int first_panel = 0;
  int rows = 0;
  const float* bias = nullptr;

  int panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  void multiply(
      const ActivationRows& x,
      int begin,
      int end,
      float* out,
      int64_t stride) const {
    all.multiply(x, first_panel + begin, first_panel + end, out, stride);
  }
};

ExpertMatrix matrix_of(const Linear& linear);
ExpertMatrix matrix_of(const ExpertBank& bank, int expert);

// The rows of each expert, in order.
struct SortedRows {
  int* starts = nullptr;     // [experts + 1] in the arrays below
  int* rows = nullptr;       // [T top_k]
  float* weights = nullptr;  // [T top_k]
};

// x W^T + b of all rows [count, rows of W], float32 products.
const float* product_of_rows(
    Scratch& scratch, const Linear& linear, const ActivationRows& in);

// Asks the router about all rows. The memory is the frame's.
SortedRows sort_rows(
    Scratch& scratch, const ExpertCall& call, const ActivationRows& in);

// All steps for `count` rows, which are in memory together.
void run_experts(const ExpertCall& call, int count);

}  // namespace rapid
