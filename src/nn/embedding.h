// The table of token vectors; also the output head of a model that ties them.
#pragma once

#include <string_view>

#include "kernels/embedding.h"
#include "nn/linear.h"

namespace rapid {

class Embedding {
 public:
  static Result<Embedding> load(
      const WeightCursor& cursor,
      std::string_view name,
      int vocabulary,
      int width);

  // ids [T] int32, each below the vocabulary -> [T, width], times `scale`.
  mx::array operator()(const mx::array& ids, float scale = 1.0f) const {
    return embedding(ids, table_, scale);
  }

  // [T, width] -> [T, vocabulary] with the same table, prepared for it.
  Linear as_linear() const;

 private:
  explicit Embedding(WeightPtr table) : table_(std::move(table)) {}
  WeightPtr table_;
};

}  // namespace rapid
