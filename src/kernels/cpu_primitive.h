// What our CPU primitives share: inputs as plain row-major memory.
#pragma once

#include <mlx/backend/cpu/encoder.h>
#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include <stdexcept>
#include <vector>

#include "kernels/backend.h"

namespace rapid {

class CpuPrimitive : public mx::UnaryPrimitive {
 public:
  CpuPrimitive() : mx::UnaryPrimitive(mx::default_stream(mx::Device::cpu)) {}

  void eval_gpu(const std::vector<mx::array>&, mx::array&) override {
    throw std::runtime_error("a CPU kernel was asked to run on a GPU");
  }

 protected:
  mx::cpu::CommandEncoder& encoder() {
    return mx::cpu::get_command_encoder(stream());
  }

  // `a` itself when its rows lie one after another, else a copy that the CPU
  // queue makes before what is dispatched next. Four-byte elements only.
  const void* rows_of(const mx::array& a);

  template <typename T>
  const T* rows(const mx::array& a) {
    return static_cast<const T*>(rows_of(a));
  }

  static float* allocate(mx::array& out) {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    return out.data<float>();
  }
};

// The given dtype, without a node when it already is.
inline mx::array as_type(const mx::array& a, mx::Dtype type) {
  return a.dtype() == type ? a : mx::astype(a, type);
}

}  // namespace rapid
