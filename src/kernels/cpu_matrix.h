// A weight as the CPU kernels read it: packed panels (simd/packed_weight.h)
// that meet int8 activations, or the file's own rows, which meet float32 ones.
//
//   prepare_matrix(*weight);         // once, at load
//   CpuMatrix matrix(*weight);       // a view, cheap
//   matrix.multiply(x, 0, matrix.panels(), out, stride);
#pragma once

#include <cstdint>

#include "simd/packed_weight.h"
#include "tensor/weight.h"

namespace rapid {

// Packs the weight where panels know its type and it is not `exact`, and lets
// the file's pages go on the way, so that it is never twice in memory. All
// threads take part; nothing happens the second time.
void prepare_matrix(const Weight& weight);

bool is_packed(const Weight& weight);

// Of all weights that are packed now.
uint64_t packed_bytes();

// Rows of activations in the forms that matrices ask for.
struct ActivationRows {
  const float* values = nullptr;            // [count, cols]; stored matrices
  const QuantisedRow* quantised = nullptr;  // [count]; packed ones
  int count = 0;
};

// Does not own: the weight must outlive it.
class CpuMatrix {
 public:
  explicit CpuMatrix(const Weight& weight);

  int rows() const { return rows_; }
  int cols() const { return stored_.cols; }
  int panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  bool packed() const { return packed_ != nullptr; }

  // out[m * stride + n - n0] = x[m] . w[n] for the rows n of panels
  // [begin, end), of which n0 is the first. A row's bits are the same for any
  // count and any split into panels.
  void multiply(
      const ActivationRows& x,
      int begin,
      int end,
      float* out,
      int64_t stride) const;

  // Row `row` as float32 [cols].
  void read_row(int64_t row, float* out) const;

 private:
  RowSource stored_;
  int rows_ = 0;
  const PackedWeight* packed_ = nullptr;
};

}  // namespace rapid
