#include "kernels/projection.h"

#include "kernels/cpu_matrix.h"
#include "kernels/gpu_ops.h"
#include "kernels/gpu_quantised.h"
#include "kernels/projection_cpu.h"
#include "tensor/gpu_layout.h"

namespace rapid {

void prepare(const Weight& weight) {
  if (on_gpu()) {
    gpu_layout(weight);
  } else {
    prepare_matrix(weight);
  }
}

mx::array round_to_int8(const mx::array& x) {
  mx::Shape blocks = x.shape();
  blocks.back() /= kDotBlock;
  blocks.push_back(kDotBlock);
  const mx::array in = mx::reshape(x, blocks);
  const mx::array top = mx::max(mx::abs(in), -1, true);
  const mx::array zero(0.0f);
  const mx::array codes_per_unit = mx::where(
      mx::greater(top, mx::array(1e-30f)),
      mx::divide(mx::array(127.0f), top),
      zero);
  const mx::array codes = mx::round(mx::multiply(in, codes_per_unit));
  const mx::array unit = mx::divide(top, mx::array(127.0f));
  return mx::reshape(mx::multiply(codes, unit), x.shape());
}

mx::array linear_reference(
    const mx::array& x, const Linear& linear, bool fine, AdaptedBatch adapted) {
  const Weight& w = *linear.weight;
  mx::array in = x;
  if (is_packed(w)) {
    in = round_to_int8(x);
    in = fine ? mx::add(in, round_to_int8(mx::subtract(x, in))) : in;
  }
  const mx::array y = on_gpu()
                          ? gpu_matmul(in, gpu_layout(w))
                          : mx::matmul(in, mx::transpose(weight_to_float(w)));
  return low_rank_reference(
      linear.bias ? mx::add(y, *linear.bias) : y, x, w, adapted);
}

mx::array project_reference(
    const mx::array& x,
    const Projection& p,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted) {
  const mx::array in = p.before ? norm_rows(x, *p.before) : x;
  std::vector<mx::array> parts;
  parts.reserve(p.parts.size());
  for (const Linear& part : p.parts) {
    parts.push_back(linear_reference(in, part, p.fine, adapted));
  }
  mx::array y =
      parts.size() == 1 ? parts[0] : mx::concatenate(std::move(parts), -1);
  if (p.after) {
    y = norm_rows(y, *p.after);
  }
  return residual ? mx::add(*residual, y) : y;
}

mx::array project(
    const mx::array& x,
    const ProjectionPtr& projection,
    const std::optional<mx::array>& residual,
    AdaptedBatch adapted) {
  if (cpu_kernels_active()) {
    return project_cpu(x, projection, residual, adapted);
  }
  if (adapted.empty()) {
    if (auto y = project_gpu(x, *projection, residual)) {
      return *y;
    }
  }
  return project_reference(x, *projection, residual, adapted);
}

}  // namespace rapid
