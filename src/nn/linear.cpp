#include "nn/linear.h"

namespace rapid {

Result<Linear> load_linear(
    const WeightCursor& cursor, const LinearOptions& options) {
  Linear out;
  RAPID_TRY(
      out.weight, cursor.matrix(options.name, options.outputs, options.inputs));
  prepare(*out.weight);
  const std::string bias = std::string(options.name) + ".bias";
  if (options.bias == Bias::required ||
      (options.bias == Bias::if_present && cursor.has(bias))) {
    RAPID_TRY(out.bias, cursor.vector(bias, options.outputs));
  }
  return out;
}

Result<std::vector<Linear>> load_split(
    const WeightCursor& cursor,
    std::string_view name,
    int inputs,
    const std::vector<int>& outputs) {
  int rows = 0;
  for (const int part : outputs) {
    rows += part;
  }
  RAPID_TRY(const WeightPtr whole, cursor.matrix(name, rows, inputs));
  std::vector<Linear> out;
  int first = 0;
  for (const int part : outputs) {
    out.push_back({.weight = row_slice(*whole, first, part)});
    prepare(*out.back().weight);
    first += part;
  }
  return out;
}

}  // namespace rapid
