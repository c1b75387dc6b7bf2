// From a prompt's hidden rows to one vector, on host floats.
//
// mean: of all rows; last and first: that row alone. Rows come in order, in
// pieces of any size: sums are made row by row in double, so where the pieces
// end changes no bit. The result has length 1 (what similarity is taken of).
//
//   Pooler pooler(Pooling::mean);
//   pooler.add(rows, hidden);  // [n, hidden], any number of times
//   std::vector<float> vector = pooler.take();
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace rapid {

enum class Pooling { mean, last, first };

// To length 1; all zeros stay. In double, in order.
void normalise(std::span<float> vector);

class Pooler {
 public:
  explicit Pooler(Pooling kind) : kind_(kind) {}

  // `rows`: whole ones of `width` floats, in the prompt's order.
  void add(std::span<const float> rows, size_t width);
  std::vector<float> take();

 private:
  Pooling kind_;
  std::vector<double> sum_;
  size_t rows_ = 0;
};

}  // namespace rapid
