// How a CPU kernel of a recurrent layer makes its results (fold.h).
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "kernels/cpu_primitive.h"
#include "kernels/fold.h"

namespace rapid {

// A batch as a node has it: x and the arrays of each sequence are its inputs,
// rows and arrays behind them its results.
struct FoldPlan {
  std::vector<mx::array> inputs;
  std::vector<mx::Shape> results;
  std::vector<FoldRows> batch;  // without the arrays
  size_t arrays = 0;            // of a sequence
};

// `width`: of a row of results; `arrays`: their shapes for this layer. Throws
// std::invalid_argument, beginning with `kernel`, when the rows do not lie in
// order or the arrays are another layer's.
inline FoldPlan plan_fold(
    const char* kernel,
    const mx::array& x,
    int width,
    const std::vector<mx::Shape>& arrays,
    std::span<const FoldRows> batch) {
  const auto check = [&](bool fits, const char* what) {
    if (!fits) {
      throw std::invalid_argument(std::string(kernel) + ": " + what);
    }
  };
  FoldPlan out{
      {as_type(x, mx::float32)}, {{x.shape(0), width}}, {}, arrays.size()};
  int row = 0;
  for (const FoldRows& rows : batch) {
    check(rows.first_row == row, "the rows of a batch must lie in order");
    check(
        std::ranges::equal(
            rows.arrays,
            arrays,
            {},
            [](const mx::array& a) { return a.shape(); }),
        "arrays of another layer");
    row += rows.rows;
    out.batch.push_back({{}, rows.first_row, rows.rows});
    out.inputs.insert(out.inputs.end(), rows.arrays.begin(), rows.arrays.end());
    out.results.insert(out.results.end(), arrays.begin(), arrays.end());
  }
  check(row == x.shape(0), "rows that belong to no sequence");
  return out;
}

// The results of a primitive over the batch: the rows, then the arrays of each
// sequence; all float32.
inline Folded folded(std::shared_ptr<CpuPrimitives> primitive, FoldPlan plan) {
  const size_t arrays = plan.arrays;
  const std::vector<mx::Dtype> types(plan.results.size(), mx::float32);
  std::vector<mx::array> made = mx::array::make_arrays(
      std::move(plan.results), types, std::move(primitive), plan.inputs);
  Folded out{made[0], {}};
  for (size_t i = 1; i < made.size(); i += arrays) {
    const auto first = made.begin() + static_cast<ptrdiff_t>(i);
    out.next.emplace_back(first, first + static_cast<ptrdiff_t>(arrays));
  }
  return out;
}

}  // namespace rapid
