#include "nn/embedding.h"

namespace rapid {

Result<Embedding> Embedding::load(
    const WeightCursor& cursor,
    std::string_view name,
    int vocabulary,
    int width) {
  RAPID_TRY(WeightPtr table, cursor.matrix(name, vocabulary, width));
  return Embedding(std::move(table));
}

Linear Embedding::as_linear() const {
  prepare(*table_);
  return Linear{.weight = table_};
}

}  // namespace rapid
