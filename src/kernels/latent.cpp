#include "kernels/latent.h"

#include "kernels/gpu_ops.h"
#include "kernels/latent_cpu.h"

namespace rapid {

namespace {

// x [T, H, K] times each head's matrix -> [T, H, N].
mx::array by_heads(const mx::array& x, const ExpertBank& bank) {
  const int rows = x.shape(0);
  const int heads = x.shape(1);
  if (bank.stacked) {
    const mx::array ids =
        mx::broadcast_to(mx::arange(heads, mx::uint32), {rows, heads});
    return mx::squeeze(gathered_product(mx::expand_dims(x, 2), bank, ids), 2);
  }
  std::vector<mx::array> out;
  for (int h = 0; h < heads; ++h) {
    out.push_back(linear_reference(mx::take(x, h, 1), linear_of(bank, h)));
  }
  return mx::stack(std::move(out), 1);
}

mx::array columns(const mx::array& a, int axis, int from, int to) {
  mx::Shape first(a.ndim(), 0);
  mx::Shape last = a.shape();
  first[static_cast<size_t>(axis)] = from;
  last[static_cast<size_t>(axis)] = to;
  return mx::slice(a, first, last);
}

}  // namespace

mx::array latent_qkv_reference(
    const mx::array& q, const mx::array& a, const LatentHeads& h) {
  const int rows = q.shape(0);
  const int dims = h.nope + h.rope;
  const mx::array heads =
      mx::reshape(columns(q, 1, 0, h.heads * dims), {rows, h.heads, dims});
  const mx::array turned = columns(heads, 2, h.nope, dims);
  const mx::array taken = by_heads(columns(heads, 2, 0, h.nope), h.absorb);
  const mx::array latent =
      norm_rows(columns(a, 1, h.first, h.first + h.rank), h.norm);
  const int rotated = h.first + h.rank;
  return mx::concatenate(
      {mx::reshape(
           mx::concatenate({turned, taken}, 2), {rows, h.heads * h.width()}),
       columns(a, 1, rotated, rotated + h.rope),
       latent},
      1);
}

mx::array latent_values_reference(const mx::array& x, const LatentHeads& h) {
  const int rows = x.shape(0);
  const mx::array heads = mx::reshape(x, {rows, h.heads, h.width()});
  return mx::reshape(
      by_heads(columns(heads, 2, h.rope, h.width()), h.release),
      {rows, h.heads * h.values});
}

mx::array latent_qkv(
    const mx::array& q, const mx::array& a, const LatentHeadsPtr& heads) {
  return cpu_kernels_active() ? latent_qkv_cpu(q, a, heads)
                              : latent_qkv_reference(q, a, *heads);
}

mx::array latent_values(const mx::array& x, const LatentHeadsPtr& heads) {
  return cpu_kernels_active() ? latent_values_cpu(x, heads)
                              : latent_values_reference(x, *heads);
}

}  // namespace rapid
