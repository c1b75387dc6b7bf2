// A few rows times MLX-affine matrices beside each other, as one launch: the
// codes are read once for 8 rows. What gpu_quantised.h's ops are made of.
//
// On Hopper and later the copy engine fetches the codes of one or two rows
// (quantised_stream) where rows of codes and scales fit it; all else goes
// through quantised_rows.
#pragma once

#include <bit>
#include <optional>
#include <span>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/projection.h"
#include "tensor/gpu_layout.h"

namespace rapid {

// A matrix that our kernels read, and its scales' type as SCALES in the texts.
bool read_by_kernels(const GpuLayout& layout);
int scales_code(mx::Dtype type);

// As `flags` in the texts.
enum RowsFlag { kNorm = 1, kResidual = 2, kBias = 4, kGelu = 8, kFactors = 64 };

// Matrices that one launch can take beside each other.
struct Parts {
  std::vector<const GpuLayout*> layouts;
  std::vector<std::optional<mx::array>> biases;
  std::vector<int> rows;
  int bits = 0;
  int scales = 0;  // as SCALES in the texts
  int group = 0;
  int cols = 0;

  int total() const {
    int out = 0;
    for (const int n : rows) {
      out += n;
    }
    return out;
  }
  int rows_of(size_t i) const { return i < rows.size() ? rows[i] : 0; }
  int shift() const { return std::countr_zero(static_cast<unsigned>(group)); }
};

// False where the matrix does not go with the others.
bool add_part(
    Parts& parts,
    const GpuLayout& layout,
    const std::optional<mx::array>& bias,
    int rows);
std::optional<Parts> parts_of(std::span<const Linear> linears);

constexpr int kNormed = 2;  // rows that a group makes ready itself

struct RowsCall {
  const RmsNorm* norm = nullptr;
  std::optional<mx::array> residual;
  std::optional<mx::array> experts;  // [pairs]
  int pairs = 0;
  int x_share = 1;  // pairs that meet the same row
  bool gated = false;
  bool gelu = false;
  bool half_in = false;              // x is what a call with half_out gave, or
  std::optional<mx::array> factors;  // half_rows() with these factors
  bool half_out = false;
};

// x [T, K], or with experts any [R, K].
mx::array few_rows(
    const mx::array& x, const Parts& parts, const RowsCall& call);

}  // namespace rapid
