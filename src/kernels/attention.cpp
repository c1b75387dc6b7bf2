#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention_cpu.h"
#include "kernels/attention_gpu.h"
#include "kernels/coded_rows.h"
#include "kernels/gpu_ops.h"
#include "kernels/mixed_channels.h"

namespace rapid {

namespace {

// The keys [H, D, 64] and values [H, 64, D] of a page.
struct PageParts {
  mx::array keys;
  mx::array values;
};

PageParts parts_of(const KvPage& page, const KvShape& shape) {
  const int h = shape.heads;
  if (shape.bits > 0) {
    return {coded_keys(page.data, shape), coded_values(page.data, shape)};
  }
  return {
      mx::reshape(mx::take(page.data, 0, 0), {h, shape.dim, kPageTokens}),
      mx::reshape(mx::take(page.data, 1, 0), {h, kPageTokens, shape.dim})};
}

// The page with the rows of k and v [count, H, D] from slot `at` on.
mx::array with_rows(
    const KvPage& page,
    const KvShape& shape,
    const mx::array& k,
    const mx::array& v,
    int at) {
  if (shape.bits > 0) {
    const KvCodes codes = shape.codes();
    return with_coded_rows(
        page.data,
        shape,
        code_rows(mixed_channels(k), codes),
        code_rows(v, codes),
        at);
  }
  const int end = at + k.shape(0);
  const PageParts old = parts_of(page, shape);
  const mx::array keys = mx::slice_update(
      old.keys,
      mx::transpose(mx::astype(k, shape.dtype), {1, 2, 0}),
      mx::Shape{0, 0, at},
      mx::Shape{shape.heads, shape.dim, end});
  const mx::array values = mx::slice_update(
      old.values,
      mx::transpose(mx::astype(v, shape.dtype), {1, 0, 2}),
      mx::Shape{0, at, 0},
      mx::Shape{shape.heads, end, shape.dim});
  return mx::stack({mx::flatten(keys, 1, 2), mx::flatten(values, 1, 2)}, 0);
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
      return mx::slice(a, {from, 0, 0}, {from + count, h, shape.dim});
    };
    KvPage& page = *list.pages[static_cast<size_t>(position / kPageTokens)];
    page.data = with_rows(page, shape, part(k), part(v), at);
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

// Rows of q from position `start` on.
mx::array one_sequence(
    const mx::array& q,  // [n, Hq, D]
    const PageList& list,
    int start,
    const AttentionOptions& options) {
  const int n = q.shape(0);
  const int heads = list.shape.heads;
  const int group = q.shape(1) / heads;
  const int dim = list.shape.dim;
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
    return fast_attention(
        q, kv.keys, kv.values, seen, options.scale, options.sinks);
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
  if (options.sinks) {
    const mx::array sinks = mx::broadcast_to(
        mx::reshape(*options.sinks, {heads, group, 1, 1}),
        {heads, group, n, 1});
    scores = mx::concatenate({scores, sinks}, -1);
  }
  mx::array shares = mx::softmax(scores, -1, true);
  if (options.sinks) {
    shares =
        mx::slice(shares, {0, 0, 0, 0}, {heads, group, n, shares.shape(3) - 1});
  }
  const mx::array out =
      mx::matmul(shares, mx::expand_dims(kv.values, 1));  // [H, G, n, D]
  return mx::reshape(mx::transpose(out, {2, 0, 1, 3}), {n, heads * group, dim});
}

// Heads [first, first + heads) of qkv as [T, heads, D].
mx::array heads_of(const mx::array& qkv, int first, int heads, int dim) {
  const int rows = qkv.shape(0);
  return mx::reshape(
      mx::slice(qkv, {0, first * dim}, {rows, (first + heads) * dim}),
      {rows, heads, dim});
}

// x [T, H, D]
mx::array normed(const mx::array& x, const RmsNorm& norm) {
  if (norm.weight.size() == static_cast<size_t>(x.shape(2))) {
    return norm_rows(x, norm);
  }
  const mx::array rows = mx::reshape(x, {x.shape(0), -1});
  return mx::reshape(norm_rows(rows, norm), x.shape());
}

// Where the rows of a batch sit, and which rows' rotation has form 1.
struct Places {
  mx::array positions;              // [T]
  int form = 0;                     // of the first row
  std::optional<mx::array> longer;  // [T, 1, 1], where there are both forms
};

Places places_of(
    std::span<const AttentionRows> batch,
    const std::vector<int32_t>& positions) {
  const auto count = static_cast<int>(positions.size());
  Places out{
      mx::array(positions.data(), {count}, mx::int32),
      batch.front().pages->form,
      std::nullopt};
  std::vector<int32_t> forms;
  for (const AttentionRows& rows : batch) {
    forms.insert(forms.end(), static_cast<size_t>(rows.rows), rows.pages->form);
  }
  if (std::ranges::count(forms, out.form) != count) {
    const mx::array all(forms.data(), {count, 1, 1}, mx::int32);
    out.longer = mx::greater(all, mx::array(0));
  }
  return out;
}

mx::array turn_rows(
    const mx::array& x, const Places& places, const RopeOptions& rope) {
  if (!places.longer) {
    return turn_heads(x, places.positions, rope, places.form);
  }
  return mx::where(
      *places.longer,
      turn_heads(x, places.positions, rope, 1),
      turn_heads(x, places.positions, rope, 0));
}

mx::array turned(
    const mx::array& x,
    const std::optional<RmsNorm>& norm,
    const Places& places,
    const AttentionOptions& o) {
  if (!norm) {
    return turn_rows(x, places, o.rope);
  }
  return o.norm_last ? normed(turn_rows(x, places, o.rope), *norm)
                     : turn_rows(normed(x, *norm), places, o.rope);
}

int start_of(const AttentionRows& rows, const AttentionOptions& o) {
  const bool held = o.source == KvSource::shared;
  return rows.pages->length - (held ? rows.rows : 0);
}

std::vector<int32_t> positions_of(
    std::span<const AttentionRows> batch, const AttentionOptions& o) {
  std::vector<int32_t> out;
  for (const AttentionRows& rows : batch) {
    for (int i = 0; i < rows.rows; ++i) {
      out.push_back(start_of(rows, o) + i);
    }
  }
  return out;
}

mx::array grown(
    const mx::array& q,
    const std::vector<int32_t>& positions,
    const AttentionOptions& o) {
  if (o.growth == 0) {
    return q;
  }
  std::vector<float> factors;
  for (const int32_t at : positions) {
    factors.push_back(query_growth(o, at));
  }
  const auto rows = static_cast<int>(factors.size());
  return mx::multiply(q, mx::array(factors.data(), {rows, 1, 1}));
}

}  // namespace

float query_growth(const AttentionOptions& options, int position) {
  const auto steps = static_cast<float>(position / options.growth_tokens);
  return 1.0f + options.growth * std::log(1.0f + steps);
}

mx::array attention_reference(
    const mx::array& qkv,
    const Attention& layer,
    std::span<const AttentionRows> batch) {
  const AttentionOptions& o = layer.options;
  const KvShape shape = batch.front().pages->shape;
  const std::vector<int32_t> at = positions_of(batch, o);
  const Places places = places_of(batch, at);
  const int parts_of_q = o.gated ? 2 : 1;
  const mx::array q_parts = mx::reshape(
      heads_of(qkv, 0, parts_of_q * o.heads, shape.dim),
      {qkv.shape(0), o.heads, parts_of_q, shape.dim});
  const mx::array q =
      grown(turned(mx::take(q_parts, 0, 2), o.q_norm, places, o), at, o);
  const bool shared = o.source == KvSource::shared;
  std::vector<mx::array> kv;  // k and v
  if (!shared) {
    const int first = parts_of_q * o.heads;
    const mx::array k = heads_of(qkv, first, shape.heads, shape.dim);
    const mx::array v =
        o.source == KvSource::key
            ? k
            : heads_of(qkv, first + shape.heads, shape.heads, shape.dim);
    kv = {turned(k, o.k_norm, places, o), o.v_norm ? normed(v, *o.v_norm) : v};
  }
  std::vector<mx::array> parts;
  for (const AttentionRows& rows : batch) {
    if (!shared) {
      write_rows(rows, kv[0], kv[1]);
    }
    const mx::array mine = mx::slice(
        q,
        {rows.first_row, 0, 0},
        {rows.first_row + rows.rows, q.shape(1), q.shape(2)});
    parts.push_back(one_sequence(
        shape.bits > 0 ? mixed_channels(mine) : mine,
        *rows.pages,
        start_of(rows, o),
        o));
    rows.pages->length += shared ? 0 : rows.rows;
  }
  mx::array out =
      parts.size() == 1 ? parts[0] : mx::concatenate(std::move(parts), 0);
  if (o.gated) {
    out = mx::multiply(out, mx::sigmoid(mx::take(q_parts, 1, 2)));
  }
  return mx::reshape(out, {out.shape(0), o.heads * shape.dim});
}

mx::array attention(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch) {
  if (cpu_kernels_active()) {
    return attention_cpu(qkv, layer, batch);
  }
  if (auto y = attention_gpu(qkv, *layer, batch)) {
    return *y;
  }
  return attention_reference(qkv, *layer, batch);
}

}  // namespace rapid
