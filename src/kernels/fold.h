// What the kernels of recurrent layers share: the rows of a ragged batch, and
// the arrays that each sequence has folded its earlier tokens into.
#pragma once

#include <mlx/mlx.h>

#include <vector>

namespace rapid {

namespace mx = mlx::core;

// Rows [first_row, first_row + rows) belong to one sequence; they follow the
// tokens that `arrays` tell of.
struct FoldRows {
  std::vector<mx::array> arrays;
  int first_row = 0;
  int rows = 0;
};

struct Folded {
  mx::array out;                             // [T, ...], all rows
  std::vector<std::vector<mx::array>> next;  // arrays of each sequence
};

}  // namespace rapid
