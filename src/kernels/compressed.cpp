#include "kernels/compressed.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/compressed_cpu.h"
#include "kernels/gpu_ops.h"

namespace rapid {

int CompressedShape::first_pending(int tokens) const {
  return rate == 0 ? tokens
                   : std::max(0, tokens / rate - (overlap ? 1 : 0)) * rate;
}

CompressedLists::CompressedLists(const CompressedShape& s) : shape(s) {
  window.width = s.dim;
  pending.width = s.pending_width();
  entries.width = s.dim;
  index.width = s.index_dim;
}

void CompressedLists::prepare_append(int tokens) {
  window.prepare_append(tokens);
  if (shape.rate == 0) {
    return;
  }
  pending.prepare_append(tokens);
  const int made = shape.entries_of(length + tokens) - entries.count;
  entries.prepare_append(made);
  if (shape.index_dim > 0) {
    index.prepare_append(made);
  }
}

void CompressedLists::advance(int tokens) {
  length += tokens;
  window.count = length;
  if (shape.rate > 0) {
    pending.count = length;
    entries.count = shape.entries_of(length);
    index.count = shape.index_dim > 0 ? entries.count : 0;
  }
}

void CompressedLists::truncate(int new_length) {
  length = std::min(length, new_length);
  window.truncate(length);
  pending.truncate(length);
  entries.truncate(shape.entries_of(length));
  index.truncate(shape.entries_of(length));
}

void CompressedLists::free_before(int at) {
  window.free_before(at - shape.window + 1);
  pending.free_before(shape.first_pending(std::max(at, 0)));
}

bool CompressedLists::holds(int at) const {
  const int made = shape.entries_of(at);
  return at <= length && window.holds(std::max(0, at - shape.window + 1), at) &&
         (shape.rate == 0 || (pending.holds(shape.first_pending(at), at) &&
                              entries.holds(0, made))) &&
         (shape.index_dim == 0 || index.holds(0, made));
}

size_t CompressedLists::bytes() const {
  return window.bytes() + pending.bytes() + entries.bytes() + index.bytes();
}

namespace {

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("compressed attention: ") + what);
  }
}

bool fits(const EntryRule& rule, int rate, int series, int dim) {
  return rule.bias.size() == static_cast<size_t>(rate) * series * dim &&
         rule.norm.weight.size() == static_cast<size_t>(dim);
}

void check_layer(const CompressedAttention& layer) {
  const CompressedOptions& o = layer.options;
  const CompressedShape& s = o.shape;
  check(
      o.heads > 0 && s.dim > 0 && s.window > 0 && s.rate >= 0 && o.first >= 0 &&
          o.rope.dims % 2 == 0 && o.rope.dims <= s.dim &&
          static_cast<int>(o.sinks.size()) == o.heads &&
          static_cast<int>(o.key_norm.weight.size()) == s.dim,
      "heads, norm or rotation do not fit the keys");
  check(
      (s.rate > 0) == o.entries.has_value() &&
          (s.index_dim > 0) == o.index.has_value() &&
          (!o.entries || fits(*o.entries, s.rate, s.series(), s.dim)),
      "the entries' bias or norm");
  check(
      !o.index || (s.rate > 0 && o.index_heads > 0 && o.top > 0 &&
                   o.rope.dims <= s.index_dim &&
                   fits(*o.index, s.rate, s.series(), s.index_dim)),
      "the index");
}

void check_call(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttention& layer,
    std::span<const CompressedRows> batch) {
  check_layer(layer);
  check(
      q.ndim() == 2 && in.ndim() == 2 && q.shape(0) == in.shape(0) &&
          q.shape(1) == layer.q_width() && in.shape(1) == layer.in_width(),
      "the rows");
  int row = 0;
  for (const CompressedRows& rows : batch) {
    check(rows.first_row == row, "the rows of a batch must lie in order");
    check(
        rows.lists->shape == layer.options.shape &&
            rows.lists->window.pages.size() * kRowsOfPage >=
                static_cast<size_t>(rows.lists->length + rows.rows),
        "no room in the pages: call prepare_append first");
    row += rows.rows;
  }
  check(row == q.shape(0), "rows that belong to no sequence");
}

mx::array columns(const mx::array& a, int from, int to) {
  return mx::slice(a, {0, from}, {a.shape(0), to});
}

// The last rope.dims of x [n, H, D] by positions [n].
mx::array turn_tail(
    const mx::array& x, const mx::array& positions, const RopeOptions& rope) {
  const int kept = x.shape(2) - rope.dims;
  if (rope.dims == 0 || x.shape(0) == 0) {
    return x;
  }
  const mx::array tail = mx::slice(x, {0, 0, kept}, x.shape());
  return mx::concatenate(
      {mx::slice(x, {0, 0, 0}, {x.shape(0), x.shape(1), kept}),
       turn_heads(tail, positions, rope)},
      2);
}

mx::array turn_rows(
    const mx::array& x, const mx::array& positions, const RopeOptions& rope) {
  return mx::squeeze(turn_tail(mx::expand_dims(x, 1), positions, rope), 1);
}

// Entries [first, last) of one space, whose values begin at `column` of the
// pending rows: [n, dim].
mx::array made_entries(
    const CompressedLists& lists,
    const EntryRule& rule,
    const RopeOptions& rope,
    int dim,
    int column,
    int first,
    int last) {
  const CompressedShape& s = lists.shape;
  const int width = s.series() * dim;
  const int n = last - first;
  const int before = s.overlap && first > 0 ? 1 : 0;
  const mx::array rows =
      lists.pending.rows((first - before) * s.rate, last * s.rate);
  const auto part = [&](int from) {
    return mx::reshape(
        columns(rows, from, from + width), {n + before, s.rate, width});
  };
  mx::array values = part(column);
  mx::array gates =
      mx::add(part(column + width), mx::reshape(rule.bias, {1, s.rate, width}));
  if (s.overlap) {
    // [n, 2 rate, dim]: the first series of the tokens before, then the second.
    const auto both = [&](const mx::array& a, float nothing) {
      const mx::array own =
          mx::slice(a, {before, 0, dim}, {n + before, s.rate, 2 * dim});
      mx::array earlier =
          mx::slice(a, {0, 0, 0}, {n + before - 1, s.rate, dim});
      if (before == 0) {
        earlier = mx::concatenate(
            {mx::full({1, s.rate, dim}, nothing, mx::float32), earlier}, 0);
      }
      return mx::concatenate({earlier, own}, 1);
    };
    values = both(values, 0.0f);
    gates = both(gates, -std::numeric_limits<float>::infinity());
  }
  const mx::array mixed =
      mx::sum(mx::multiply(values, mx::softmax(gates, 1, true)), 1);
  const mx::array positions =
      mx::multiply(mx::arange(first, last), mx::array(s.rate));
  return turn_rows(norm_rows(mixed, rule.norm), positions, rope);
}

void append_entries(
    CompressedLists& lists, const CompressedOptions& o, int tokens) {
  const CompressedShape& s = lists.shape;
  const int first = lists.entries.count;
  const int last = s.entries_of(tokens);
  if (first >= last) {
    return;
  }
  lists.entries.append(
      made_entries(lists, *o.entries, o.rope, s.dim, 0, first, last));
  if (o.index) {
    lists.index.append(made_entries(
        lists,
        *o.index,
        o.rope,
        s.index_dim,
        2 * s.series() * s.dim,
        first,
        last));
  }
}

// Which of the entries each row sees, [n, E] bool.
mx::array seen_entries(
    const CompressedLists& lists,
    const CompressedOptions& o,
    const mx::array& q,        // [n, index_heads index_dim]
    const mx::array& weights,  // [n, index_heads]
    const mx::array& positions) {
  const int n = positions.shape(0);
  const int count = lists.entries.count;
  const mx::array ends =
      mx::multiply(mx::arange(1, count + 1), mx::array(lists.shape.rate));
  const mx::array made = mx::less_equal(
      mx::expand_dims(ends, 0),
      mx::expand_dims(mx::add(positions, mx::array(1)), 1));
  if (!o.index || count <= o.top) {
    return made;
  }
  const int dim = lists.shape.index_dim;
  const mx::array heads =
      turn_tail(mx::reshape(q, {n, o.index_heads, dim}), positions, o.rope);
  const mx::array keys = mx::swapaxes(lists.index.rows(0, count), 0, 1);
  const mx::array scores = mx::multiply(
      mx::maximum(mx::matmul(heads, keys), mx::array(0.0f)),
      mx::array(1.0f / std::sqrt(static_cast<float>(dim))));
  const mx::array scaled = mx::multiply(
      weights, mx::array(1.0f / std::sqrt(static_cast<float>(o.index_heads))));
  const mx::array total =
      mx::sum(mx::multiply(scores, mx::expand_dims(scaled, 2)), 1);
  const mx::array masked = mx::where(
      made, total, mx::array(-std::numeric_limits<float>::infinity()));
  // An entry's place in the order of its row.
  const mx::array place =
      mx::argsort(mx::argsort(mx::negative(masked), -1), -1);
  return mx::logical_and(
      made,
      mx::less(place, mx::array(static_cast<uint32_t>(o.top), mx::uint32)));
}

// Rows of q and in, all of one sequence: [n, heads dim].
mx::array one_sequence(
    const mx::array& q,
    const mx::array& in,
    CompressedLists& lists,
    const CompressedOptions& o) {
  const CompressedShape& s = lists.shape;
  const int n = q.shape(0);
  const int start = lists.length;
  const mx::array positions = mx::arange(start, start + n);
  const int pending = o.first + s.dim;
  const mx::array keys = norm_rows(columns(in, o.first, pending), o.key_norm);
  lists.window.append(turn_rows(keys, positions, o.rope));
  if (s.rate > 0) {
    lists.pending.append(columns(in, pending, pending + s.pending_width()));
    append_entries(lists, o, start + n);
  }
  lists.advance(n);
  const int first = std::max(0, start - s.window + 1);
  const mx::array at = mx::expand_dims(positions, 1);
  const mx::array to = mx::expand_dims(mx::arange(first, start + n), 0);
  mx::array seen = mx::logical_and(
      mx::less_equal(to, at),
      mx::greater(to, mx::subtract(at, mx::array(s.window))));
  mx::array all = lists.window.rows(first, start + n);
  if (lists.entries.count > 0) {
    const int own = o.heads * s.dim;
    seen = mx::concatenate(
        {seen,
         seen_entries(
             lists,
             o,
             columns(q, own, q.shape(1)),
             columns(in, in.shape(1) - o.index_heads, in.shape(1)),
             positions)},
        1);
    all = mx::concatenate({all, lists.entries.rows(0, lists.entries.count)}, 0);
  }
  const RmsNorm even{mx::ones({s.dim}), o.q_eps};
  const mx::array heads = turn_tail(
      norm_rows(
          mx::reshape(columns(q, 0, o.heads * s.dim), {n, o.heads, s.dim}),
          even),
      positions,
      o.rope);
  mx::array scores = mx::multiply(
      mx::matmul(heads, mx::swapaxes(all, 0, 1)), mx::array(o.scale));
  scores = mx::where(
      mx::expand_dims(seen, 1),
      scores,
      mx::array(-std::numeric_limits<float>::infinity()));
  const mx::array sinks =
      mx::broadcast_to(mx::reshape(o.sinks, {1, o.heads, 1}), {n, o.heads, 1});
  const mx::array weights =
      mx::softmax(mx::concatenate({scores, sinks}, 2), -1, true);
  const mx::array out = mx::matmul(
      mx::slice(weights, {0, 0, 0}, {n, o.heads, all.shape(0)}), all);
  return mx::reshape(
      turn_tail(out, mx::negative(positions), o.rope), {n, o.heads * s.dim});
}

}  // namespace

mx::array compressed_attention_reference(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttention& layer,
    std::span<const CompressedRows> batch) {
  check_call(q, in, layer, batch);
  std::vector<mx::array> out;
  for (const CompressedRows& rows : batch) {
    const int end = rows.first_row + rows.rows;
    out.push_back(one_sequence(
        mx::slice(q, {rows.first_row, 0}, {end, q.shape(1)}),
        mx::slice(in, {rows.first_row, 0}, {end, in.shape(1)}),
        *rows.lists,
        layer.options));
  }
  return mx::concatenate(std::move(out), 0);
}

mx::array compressed_attention(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttentionPtr& layer,
    std::span<const CompressedRows> batch) {
  if (!cpu_kernels_active()) {
    return compressed_attention_reference(q, in, *layer, batch);
  }
  check_call(q, in, *layer, batch);
  return compressed_attention_cpu(q, in, layer, batch);
}

}  // namespace rapid
