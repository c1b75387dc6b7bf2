#include "tensor/array_copy.h"

#include <cstring>
#include <utility>

namespace rapid {

namespace {

mx::Dtype dtype_of(TensorType type) {
  switch (type) {
    case TensorType::f16:
      return mx::float16;
    case TensorType::bf16:
      return mx::bfloat16;
    case TensorType::u8:
      return mx::uint8;
    case TensorType::u32:
      return mx::uint32;
    default:
      return mx::float32;
  }
}

}  // namespace

mx::array array_copy(const TensorView& view) {
  mx::Shape shape;
  for (const int64_t d : view.shape) {
    shape.push_back(static_cast<int>(d));
  }
  mx::array out(
      mx::allocator::malloc(view.bytes.size()),
      std::move(shape),
      dtype_of(view.type));
  if (!view.bytes.empty()) {
    std::memcpy(out.data<char>(), view.bytes.data(), view.bytes.size());
  }
  return out;
}

}  // namespace rapid
