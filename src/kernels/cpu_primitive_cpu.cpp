#include <algorithm>
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

const void* rows_of(const mx::array& a, mx::cpu::CommandEncoder& encoder) {
  if (a.flags().row_contiguous || a.size() <= 1) {
    return a.data<char>();
  }
  mx::array copy(mx::allocator::malloc(a.nbytes()), a.shape(), a.dtype());
  const auto* from = a.data<uint32_t>();
  auto* to = copy.data<uint32_t>();
  encoder.dispatch(
      [from, to, shape = a.shape(), strides = a.strides()]() mutable {
        copy_strided(from, shape, strides, 0, to);
      });
  encoder.add_temporary(copy);
  return to;
}

mx::array cpu_node(
    mx::Shape shape,
    const std::shared_ptr<CpuPrimitive>& primitive,
    std::vector<mx::array> inputs) {
  const bool now = std::ranges::all_of(inputs, [](const mx::array& a) {
    return a.is_available() && !a.is_tracer() &&
           (a.flags().row_contiguous || a.size() <= 1);
  });
  if (!now) {
    return mx::array(
        std::move(shape), mx::float32, primitive, std::move(inputs));
  }
  size_t bytes = sizeof(float);
  for (const int size : shape) {
    bytes *= static_cast<size_t>(size);
  }
  mx::array out(mx::allocator::malloc(bytes), std::move(shape), mx::float32);
  run_op(primitive->op(), primitive->work(inputs, out));
  return out;
}

float* in_place_or_new(const mx::array& in, mx::array& out) {
  if (in.is_donatable() && in.flags().row_contiguous &&
      in.data_size() == out.size() && in.dtype() == out.dtype()) {
    out.copy_shared_buffer(in);
  } else {
    out.set_data(mx::allocator::malloc(out.nbytes()));
  }
  return out.data<float>();
}

}  // namespace rapid
