#include "kernels/attention.h"

#include <algorithm>
#include <limits>

#include "kernels/attention_cpu.h"
#include "kernels/gpu_ops.h"

namespace rapid {

namespace {

// The keys [H, D, 64] and values [H, 64, D] of a page.
struct PageParts {
  mx::array keys;
  mx::array values;
};

PageParts parts_of(const KvPage& page, const KvShape& shape) {
  const int h = shape.heads;
  return {
      mx::reshape(mx::take(page.data, 0, 0), {h, shape.dim, kPageTokens}),
      mx::reshape(mx::take(page.data, 1, 0), {h, kPageTokens, shape.dim})};
}

// Replaces the arrays of the pages that the new rows touch.
void write_rows(
    const AttentionRows& rows, const mx::array& k, const mx::array& v) {
  PageList& list = *rows.pages;
  const KvShape& shape = list.shape;
  const int h = shape.heads;
  for (int done = 0; done < rows.rows;) {
    const int position = list.length + done;
    const int at = position % kPageTokens;
    const int count = std::min(kPageTokens - at, rows.rows - done);
    const int from = rows.first_row + done;
    const auto part = [&](const mx::array& a) {  // [count, H, D]
      const mx::array mine =
          mx::slice(a, {from, 0, 0}, {from + count, h, shape.dim});
      return mx::astype(mine, shape.dtype);
    };
    KvPage& page = *list.pages[static_cast<size_t>(position / kPageTokens)];
    const PageParts old = parts_of(page, shape);
    const mx::array keys = mx::slice_update(
        old.keys,
        mx::transpose(part(k), {1, 2, 0}),
        mx::Shape{0, 0, at},
        mx::Shape{h, shape.dim, at + count});
    const mx::array values = mx::slice_update(
        old.values,
        mx::transpose(part(v), {1, 0, 2}),
        mx::Shape{0, at, 0},
        mx::Shape{h, at + count, shape.dim});
    page.data =
        mx::stack({mx::flatten(keys, 1, 2), mx::flatten(values, 1, 2)}, 0);
    done += count;
  }
}

// Keys [H, D, L] and values [H, L, D] of pages first..last, float32.
PageParts gather(const PageList& list, int first_page, int last_page) {
  std::vector<mx::array> keys;
  std::vector<mx::array> values;
  for (int i = first_page; i <= last_page; ++i) {
    PageParts parts = parts_of(*list.pages[static_cast<size_t>(i)], list.shape);
    keys.push_back(mx::astype(parts.keys, mx::float32));
    values.push_back(mx::astype(parts.values, mx::float32));
  }
  return {
      mx::concatenate(std::move(keys), 2),
      mx::concatenate(std::move(values), 1)};
}

mx::array one_sequence(
    const mx::array& q,  // [n, Hq, D]
    const PageList& list,
    const AttentionOptions& options) {
  const int n = q.shape(0);
  const int heads = list.shape.heads;
  const int group = q.shape(1) / heads;
  const int dim = list.shape.dim;
  const int start = list.length;
  const int first =
      options.window > 0 ? std::max(0, start - options.window + 1) : 0;
  const int first_page = first / kPageTokens;
  const int last_page = (start + n - 1) / kPageTokens;
  const PageParts kv = gather(list, first_page, last_page);
  const mx::array at = mx::expand_dims(mx::arange(start, start + n), 1);
  const mx::array to = mx::expand_dims(
      mx::arange(first_page * kPageTokens, (last_page + 1) * kPageTokens), 0);
  mx::array seen = mx::less_equal(to, at);
  if (options.window > 0) {
    const mx::array low = mx::subtract(at, mx::array(options.window));
    seen = mx::logical_and(seen, mx::greater(to, low));
  }
  if (on_gpu() && options.softcap == 0) {
    return fast_attention(q, kv.keys, kv.values, seen, options.scale);
  }
  const mx::array queries = mx::transpose(
      mx::reshape(q, {n, heads, group, dim}), {1, 2, 0, 3});  // [H, G, n, D]
  mx::array scores = mx::multiply(
      mx::matmul(queries, mx::expand_dims(kv.keys, 1)),
      mx::array(options.scale));  // [H, G, n, L]
  if (options.softcap > 0) {
    const mx::array cap(options.softcap);
    scores = mx::multiply(mx::tanh(mx::divide(scores, cap)), cap);
  }
  scores = mx::where(
      seen, scores, mx::array(-std::numeric_limits<float>::infinity()));
  const mx::array out = mx::matmul(
      mx::softmax(scores, -1, true),
      mx::expand_dims(kv.values, 1));  // [H, G, n, D]
  return mx::reshape(mx::transpose(out, {2, 0, 1, 3}), {n, heads * group, dim});
}

// Heads [first, first + heads) of qkv as [T, heads, D].
mx::array heads_of(const mx::array& qkv, int first, int heads, int dim) {
  const int rows = qkv.shape(0);
  return mx::reshape(
      mx::slice(qkv, {0, first * dim}, {rows, (first + heads) * dim}),
      {rows, heads, dim});
}

mx::array turned(
    const mx::array& x,
    const std::optional<RmsNorm>& norm,
    const mx::array& positions,
    const RopeOptions& rope) {
  return turn_heads(norm ? norm_rows(x, *norm) : x, positions, rope);
}

mx::array positions_of(std::span<const AttentionRows> batch) {
  std::vector<mx::array> parts;
  for (const AttentionRows& rows : batch) {
    const int start = rows.pages->length;
    parts.push_back(mx::arange(start, start + rows.rows, mx::int32));
  }
  return parts.size() == 1 ? parts[0] : mx::concatenate(std::move(parts), 0);
}

}  // namespace

mx::array attention_reference(
    const mx::array& qkv,
    const Attention& layer,
    std::span<const AttentionRows> batch) {
  const AttentionOptions& o = layer.options;
  const KvShape shape = batch.front().pages->shape;
  const mx::array positions = positions_of(batch);
  const mx::array q =
      turned(heads_of(qkv, 0, o.heads, shape.dim), o.q_norm, positions, o.rope);
  const mx::array k = turned(
      heads_of(qkv, o.heads, shape.heads, shape.dim),
      o.k_norm,
      positions,
      o.rope);
  const mx::array v =
      heads_of(qkv, o.heads + shape.heads, shape.heads, shape.dim);
  std::vector<mx::array> parts;
  for (const AttentionRows& rows : batch) {
    write_rows(rows, k, v);
    const mx::array mine = mx::slice(
        q,
        {rows.first_row, 0, 0},
        {rows.first_row + rows.rows, q.shape(1), q.shape(2)});
    parts.push_back(one_sequence(mine, *rows.pages, o));
    rows.pages->length += rows.rows;
  }
  const mx::array out =
      parts.size() == 1 ? parts[0] : mx::concatenate(std::move(parts), 0);
  return mx::reshape(out, {out.shape(0), o.heads * shape.dim});
}

mx::array attention(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch) {
  return cpu_kernels_active() ? attention_cpu(qkv, layer, batch)
                              : attention_reference(qkv, *layer, batch);
}

}  // namespace rapid
