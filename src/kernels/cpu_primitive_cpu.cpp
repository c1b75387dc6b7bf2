#include <cstdint>

#include "kernels/cpu_primitive.h"

namespace rapid {

namespace {

void copy_strided(
    const uint32_t* from,
    const mx::Shape& shape,
    const mx::Strides& strides,
    size_t axis,
    uint32_t*& to) {
  for (int i = 0; i < shape[axis]; ++i) {
    const uint32_t* at = from + i * strides[axis];
    if (axis + 1 == shape.size()) {
      *to++ = *at;
    } else {
      copy_strided(at, shape, strides, axis + 1, to);
    }
  }
}

}  // namespace

const void* CpuPrimitive::rows_of(const mx::array& a) {
  if (a.flags().row_contiguous || a.size() <= 1) {
    return a.data<char>();
  }
  mx::array copy(mx::allocator::malloc(a.nbytes()), a.shape(), a.dtype());
  const auto* from = a.data<uint32_t>();
  auto* to = copy.data<uint32_t>();
  encoder().dispatch(
      [from, to, shape = a.shape(), strides = a.strides()]() mutable {
        copy_strided(from, shape, strides, 0, to);
      });
  encoder().add_temporary(copy);
  return to;
}

}  // namespace rapid
