// What our CPU primitives share: inputs as plain row-major memory.
#pragma once

#include <mlx/backend/cpu/encoder.h>
#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/op_clock.h"

namespace rapid {

// `a` itself when its rows lie one after another, else a copy that the CPU
// queue makes before what is dispatched next. Four-byte elements only.
const void* rows_of(const mx::array& a, mx::cpu::CommandEncoder& encoder);

template <typename Base>
class CpuPrimitiveOf : public Base {
 public:
  CpuPrimitiveOf() : Base(mx::default_stream(mx::Device::cpu)) {}

 protected:
  mx::cpu::CommandEncoder& encoder() {
    return mx::cpu::get_command_encoder(this->stream());
  }

  template <typename T>
  const T* rows(const mx::array& a) {
    return static_cast<const T*>(rows_of(a, encoder()));
  }

  static float* allocate(mx::array& out) {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    return out.data<float>();
  }

  [[noreturn]] static void not_here() {
    throw std::runtime_error("a CPU kernel was asked to run on a GPU");
  }
};

using CpuWork = std::function<void()>;

// With one result, float32.
class CpuPrimitive : public CpuPrimitiveOf<mx::UnaryPrimitive> {
 public:
  // What is to be done once the inputs are there; `out` has its memory.
  virtual CpuWork work(
      const std::vector<mx::array>& inputs, mx::array& out) = 0;
  // What op_clock.h calls it.
  virtual std::string_view op() const { return name(); }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) final {
    allocate(out);
    encoder().dispatch([f = work(inputs, out), op = op()] { run_op(op, f); });
  }
  void eval_gpu(const std::vector<mx::array>&, mx::array&) override {
    not_here();
  }
};

// With several results.
class CpuPrimitives : public CpuPrimitiveOf<mx::Primitive> {
 public:
  void eval_gpu(
      const std::vector<mx::array>&, std::vector<mx::array>&) override {
    not_here();
  }
};

// `out` takes the memory of an input that nobody else holds, else new one; so
// a result that replaces an input may be written where that lies.
float* in_place_or_new(const mx::array& in, mx::array& out);

// The given dtype, without a node when it already is.
inline mx::array as_type(const mx::array& a, mx::Dtype type) {
  return a.dtype() == type ? a : mx::astype(a, type);
}

// The primitive's result. Where all inputs are computed already the work is
// done at once, by the thread that asks: a step of a model is then no graph,
// and costs none of MLX's queueing. Else a node that waits for them.
mx::array cpu_node(
    mx::Shape shape,
    const std::shared_ptr<CpuPrimitive>& primitive,
    std::vector<mx::array> inputs);

// The same over x and, if there is one, what its results are added to; all
// float32.
inline mx::array node_over(
    const mx::array& x,
    const std::optional<mx::array>& residual,
    mx::Shape shape,
    const std::shared_ptr<CpuPrimitive>& primitive) {
  std::vector<mx::array> inputs = {as_type(x, mx::float32)};
  if (residual) {
    inputs.push_back(as_type(*residual, mx::float32));
  }
  return cpu_node(std::move(shape), primitive, std::move(inputs));
}

}  // namespace rapid
