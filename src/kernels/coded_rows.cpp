#include "kernels/coded_rows.h"

#include <utility>

namespace rapid {

namespace {

// The parts of the blocks of all heads: of keys tokens come last, of values
// they come first.
struct Blocks {
  mx::array codes;   // [H, row_bytes, 64] or [H, 64, row_bytes]
  mx::array scales;  // [H, groups, 64] or [H, 64, groups] float16
  mx::array biases;
};

Blocks blocks_of(const mx::array& page, const KvShape& shape, bool keys) {
  const KvCodes c = shape.codes();
  const int h = shape.heads;
  const mx::array side = mx::take(page, keys ? 0 : 1, 0);  // [H, bytes]
  const auto part = [&](size_t from, size_t to) {
    return mx::contiguous(mx::slice(
        side, {0, static_cast<int>(from)}, {h, static_cast<int>(to)}));
  };
  const auto shaped = [&](const mx::array& x, int width) {
    return keys ? mx::reshape(x, {h, width, kPageTokens})
                : mx::reshape(x, {h, kPageTokens, width});
  };
  const auto halves = [&](size_t from, size_t to) {
    return shaped(mx::view(part(from, to), mx::float16), c.groups);
  };
  return {
      shaped(part(0, c.scales_at), c.row_bytes),
      halves(c.scales_at, c.biases_at),
      halves(c.biases_at, c.bytes)};
}

// [H, bytes] again.
mx::array joined(const Blocks& blocks) {
  const auto bytes = [](const mx::array& x) {
    return mx::view(mx::contiguous(mx::flatten(x, 1, 2)), mx::uint8);
  };
  return mx::concatenate(
      {bytes(blocks.codes), bytes(blocks.scales), bytes(blocks.biases)}, 1);
}

Blocks with_rows(
    const Blocks& old, const CodedRows& rows, int slot, bool keys) {
  const int count = rows.codes.shape(0);
  const auto put = [&](const mx::array& to, const mx::array& from) {
    const mx::array mine = mx::transpose(
        from, keys ? std::vector<int>{1, 2, 0} : std::vector<int>{1, 0, 2});
    mx::Shape start = {0, 0, 0};
    mx::Shape stop = to.shape();
    start[keys ? 2 : 1] = slot;
    stop[keys ? 2 : 1] = slot + count;
    return mx::slice_update(to, mine, start, stop);
  };
  return {
      put(old.codes, rows.codes),
      put(old.scales, rows.scales),
      put(old.biases, rows.biases)};
}

// codes [..., groups, group_bytes] -> float32 [..., groups, 32].
mx::array numbers_of(const mx::array& codes, int bits) {
  if (bits == 8) {
    return mx::astype(codes, mx::float32);
  }
  const mx::array low = mx::bitwise_and(codes, mx::array(15, mx::uint8));
  const mx::array high = mx::right_shift(codes, mx::array(4, mx::uint8));
  return mx::astype(mx::concatenate({low, high}, -1), mx::float32);
}

// [H, 64, D] of parts with tokens first.
mx::array read_back(const Blocks& blocks, const KvShape& shape) {
  const KvCodes c = shape.codes();
  const int h = shape.heads;
  const auto of_group = [](const mx::array& x) {
    return mx::expand_dims(mx::astype(x, mx::float32), -1);
  };
  const mx::array codes =
      mx::reshape(blocks.codes, {h, kPageTokens, c.groups, c.group_bytes});
  const mx::array x = mx::add(
      mx::multiply(numbers_of(codes, c.bits), of_group(blocks.scales)),
      of_group(blocks.biases));
  return mx::slice(
      mx::flatten(x, 2, 3), {0, 0, 0}, {h, kPageTokens, shape.dim});
}

}  // namespace

CodedRows code_rows(const mx::array& x, const KvCodes& shape) {
  const int n = x.shape(0);
  const int h = x.shape(1);
  const int pad = shape.groups * KvCodes::kGroup - shape.dim;
  const mx::array whole =
      pad > 0 ? mx::pad(x, {2}, {0}, {pad}, mx::array(0.0f), "edge") : x;
  const mx::array grouped =
      mx::reshape(whole, {n, h, shape.groups, KvCodes::kGroup});
  const mx::array top(static_cast<float>((1 << shape.bits) - 1));
  const mx::array low = mx::min(grouped, 3, true);
  const mx::array range = mx::subtract(mx::max(grouped, 3, true), low);
  const mx::array scales = mx::astype(mx::divide(range, top), mx::float16);
  const mx::array biases = mx::astype(low, mx::float16);
  const mx::array scale = mx::astype(scales, mx::float32);
  const mx::array steps =
      mx::divide(mx::subtract(grouped, mx::astype(biases, mx::float32)), scale);
  const mx::array zero(0.0f);
  const mx::array numbers = mx::astype(
      mx::where(
          mx::equal(scale, zero), zero, mx::round(mx::clip(steps, zero, top))),
      mx::uint8);
  mx::array codes = numbers;
  if (shape.bits == 4) {
    const auto half = [&](int from) {
      return mx::slice(
          numbers, {0, 0, 0, from}, {n, h, shape.groups, from + 16});
    };
    codes = mx::bitwise_or(
        half(0), mx::left_shift(half(16), mx::array(4, mx::uint8)));
  }
  return {
      mx::reshape(codes, {n, h, shape.row_bytes}),
      mx::squeeze(scales, 3),
      mx::squeeze(biases, 3)};
}

mx::array coded_values(const mx::array& page, const KvShape& shape) {
  return read_back(blocks_of(page, shape, false), shape);
}

mx::array coded_keys(const mx::array& page, const KvShape& shape) {
  const Blocks blocks = blocks_of(page, shape, true);
  const auto tokens_first = [](const mx::array& x) {
    return mx::swapaxes(x, 1, 2);
  };
  return mx::swapaxes(
      read_back(
          {tokens_first(blocks.codes),
           tokens_first(blocks.scales),
           tokens_first(blocks.biases)},
          shape),
      1,
      2);
}

mx::array with_coded_rows(
    const mx::array& page,
    const KvShape& shape,
    const CodedRows& k,
    const CodedRows& v,
    int slot) {
  return mx::stack(
      {joined(with_rows(blocks_of(page, shape, true), k, slot, true)),
       joined(with_rows(blocks_of(page, shape, false), v, slot, false))},
      0);
}

}  // namespace rapid
