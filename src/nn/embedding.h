// The table of token vectors; also the output head of a model that ties them.
#pragma once

#include <string_view>

#include "nn/linear.h"

namespace rapid {

class Embedding {
 public:
  static Result<Embedding> load(
      const WeightCursor& cursor,
      std::string_view name,
      int vocabulary,
      int width);

  // ids [T] int32, each below the vocabulary -> [T, width].
  mx::array operator()(const mx::array& ids) const {
    return embedding(ids, table_);
  }

  // [T, width] -> [T, vocabulary] with the same table.
  Linear as_linear() const { return Linear(table_); }

 private:
  explicit Embedding(WeightPtr table) : table_(std::move(table)) {}
  WeightPtr table_;
};

}  // namespace rapid
