#include "nn/conv_weight.h"

namespace rapid {

Result<mx::array> load_conv_weight(
    const WeightCursor& cursor,
    std::string_view name,
    int channels,
    int kernel) {
  const std::string full = std::string(name) + ".weight";
  std::vector<int64_t> shape = {channels, 1, kernel};
  for (const std::vector<int64_t>& other :
       {std::vector<int64_t>{channels, kernel, 1}, {channels, kernel}}) {
    shape = cursor.shape(full) == other ? other : shape;
  }
  RAPID_TRY(const mx::array flat, cursor.floats(full, shape));
  mx::array out = mx::contiguous(
      mx::transpose(mx::reshape(flat, {channels, kernel}), {1, 0}));
  out.eval();
  return out;
}

}  // namespace rapid
