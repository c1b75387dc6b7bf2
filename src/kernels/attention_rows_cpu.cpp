#include <algorithm>

#include "kernels/attention_call_cpu.h"
#include "kernels/mixed_channels.h"
#include "kernels/rotation_cpu.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

// A head, normed if asked and rotated, to `to`, which may be `from`.
void turn_head(
    const AttentionCall& call,
    const float* from,
    const RmsNorm* norm,
    const float* turn,
    float* to) {
  const AttentionOptions& o = call.options();
  const int dim = call.shape.dim;
  const auto apply = [&](const float* x) {
    kernel_table().rms_norm(x, norm->weight.data<float>(), norm->eps, dim, to);
  };
  if (norm && !o.norm_last) {
    apply(from);
  } else if (to != from) {
    std::copy_n(from, dim, to);
  }
  const auto pairs = static_cast<int>(call.layer->frequencies[0].size());
  rotate(to, turn, pairs, o.rope.interleaved);
  if (norm && o.norm_last) {
    apply(to);
  }
}

// Heads [heads, dim] as their norm leaves them where it is over all of them,
// in a frame's memory; then `norm` has nothing left to do.
const float* norm_together(
    const AttentionCall& call,
    const float* from,
    int heads,
    const RmsNorm*& norm,
    Scratch& scratch) {
  const int width = heads * call.shape.dim;
  if (!norm || heads == 1 ||
      norm->weight.size() != static_cast<size_t>(width)) {
    return from;
  }
  auto* out = scratch.take<float>(static_cast<size_t>(width));
  kernel_table().rms_norm(
      from, norm->weight.data<float>(), norm->eps, width, out);
  norm = nullptr;
  return out;
}

// A row's codes, scales and biases go to its slot of a block.
void store_codes(
    const AttentionCall& call,
    const float* from,
    KvPage& page,
    int which,
    int head,
    int slot) {
  const KvCodes& shape = call.codes;
  Scratch scratch;
  auto* codes = scratch.take<uint8_t>(static_cast<size_t>(shape.row_bytes));
  auto* halves = scratch.take<uint16_t>(2 * static_cast<size_t>(shape.groups));
  uint16_t* biases = halves + shape.groups;
  kernel_table().to_codes(from, shape, codes, halves, biases);
  uint8_t* block =
      page.data.data<uint8_t>() +
      (static_cast<size_t>(which) * call.shape.heads + head) * shape.bytes;
  const bool keys = which == 0;  // a key's parts lie a page's length apart
  const auto spread = [&](const auto* from, int count, auto* to) {
    for (int i = 0; i < count; ++i) {
      to[keys ? i * kPageTokens + slot : slot * count + i] = from[i];
    }
  };
  spread(codes, shape.row_bytes, block);
  spread(
      halves,
      shape.groups,
      reinterpret_cast<uint16_t*>(block + shape.scales_at));
  spread(
      biases,
      shape.groups,
      reinterpret_cast<uint16_t*>(block + shape.biases_at));
}

// A head's values for one slot lie together.
void store_value(
    const AttentionCall& call, const float* from, KvPage& page, size_t at) {
  const int dim = call.shape.dim;
  if (call.half()) {
    auto* to = page.data.data<mx::float16_t>() + at;
    kernel_table().to_halves(from, dim, reinterpret_cast<uint16_t*>(to));
  } else {
    std::copy_n(from, dim, page.data.data<float>() + at);
  }
}

// A key's dimensions lie a page's length apart.
void store_key(
    const AttentionCall& call, const float* from, KvPage& page, size_t at) {
  const int dim = call.shape.dim;
  if (!call.half()) {
    float* to = page.data.data<float>() + at;
    for (int d = 0; d < dim; ++d) {
      to[d * kPageTokens] = from[d];
    }
    return;
  }
  Scratch scratch;
  auto* halves = scratch.take<uint16_t>(static_cast<size_t>(dim));
  kernel_table().to_halves(from, dim, halves);
  auto* to = reinterpret_cast<uint16_t*>(page.data.data<mx::float16_t>()) + at;
  for (int d = 0; d < dim; ++d) {
    to[d * kPageTokens] = halves[d];
  }
}

const RmsNorm* given(const std::optional<RmsNorm>& norm) {
  return norm ? &*norm : nullptr;
}

// The heads of q of one row to call.q.
void take_queries(
    const AttentionCall& call,
    const float* in,
    int row,
    float by,
    const float* turn) {
  const AttentionOptions& o = call.options();
  const int dim = call.shape.dim;
  Scratch scratch;
  const RmsNorm* norm = given(o.q_norm);
  in = norm_together(call, in, o.heads, norm, scratch);
  for (int head = 0; head < o.heads; ++head, in += call.q_stride()) {
    float* q = call.queries(head / call.group, row) +
               static_cast<size_t>(head % call.group) * dim;
    turn_head(call, in, norm, turn, q);
    for (int i = 0; o.growth != 0 && i < dim; ++i) {
      q[i] *= by;
    }
    if (call.coded()) {
      mix_channels(q, dim);
    }
  }
}

// The heads of k and v of one row into their page.
void take_keys(
    const AttentionCall& call,
    const float* in,
    KvPage& page,
    int slot,
    const float* turn) {
  const AttentionOptions& o = call.options();
  const int heads = call.shape.heads;
  const auto dim = static_cast<size_t>(call.shape.dim);
  const float* values =
      o.source == KvSource::key ? in : in + static_cast<size_t>(heads) * dim;
  Scratch scratch;
  auto* made = scratch.take<float>(dim);
  const RmsNorm* norm = given(o.k_norm);
  const float* keys = norm_together(call, in, heads, norm, scratch);
  for (int head = 0; head < heads; ++head, keys += dim) {
    turn_head(call, keys, norm, turn, made);
    if (call.coded()) {
      mix_channels(made, call.shape.dim);
      store_codes(call, made, page, 0, head, slot);
    } else {
      store_key(call, made, page, page_at(call.shape, 0, head) + slot);
    }
  }
  for (int head = 0; head < heads; ++head, values += dim) {
    const float* value = values;
    if (o.v_norm) {
      kernel_table().rms_norm(
          values,
          o.v_norm->weight.data<float>(),
          o.v_norm->eps,
          call.shape.dim,
          made);
      value = made;
    }
    if (call.coded()) {
      store_codes(call, value, page, 1, head, slot);
    } else {
      store_value(call, value, page, page_at(call.shape, 1, head) + slot * dim);
    }
  }
}

void take_row(
    const AttentionCall& call,
    const AttentionSequence& s,
    int row,
    const float* turn) {
  const AttentionOptions& o = call.options();
  const int position = s.start + row;
  const int slot = position % kPageTokens;
  const auto index = static_cast<size_t>(s.first_row + row);
  const float* in = call.qkv + index * static_cast<size_t>(call.width());
  take_queries(call, in, s.first_row + row, query_growth(o, position), turn);
  if (o.source != KvSource::shared) {
    KvPage& page = *s.pages[static_cast<size_t>(position / kPageTokens)];
    take_keys(
        call,
        in + static_cast<size_t>(o.heads) * call.q_stride(),
        page,
        slot,
        turn);
  }
}

// The rows of the sequences whose rotation has this form.
void take_rows_of(const AttentionCall& call, int form) {
  std::vector<int32_t> positions;
  for (const AttentionSequence& s : call.sequences) {
    for (int row = 0; s.form == form && row < s.rows; ++row) {
      positions.push_back(s.start + row);
    }
  }
  if (positions.empty()) {
    return;
  }
  const auto& frequencies = call.layer->frequencies[static_cast<size_t>(form)];
  const float* turns =
      rotation_table(frequencies, call.options().rope.amplitude, positions);
  for (const AttentionSequence& s : call.sequences) {
    if (s.form != form) {
      continue;
    }
    ThreadPool::global().run(s.rows, 8, [&](int begin, int end) {
      for (int row = begin; row < end; ++row) {
        const auto at = static_cast<size_t>(row);
        take_row(call, s, row, turns + at * 2 * frequencies.size());
      }
    });
    turns += static_cast<size_t>(s.rows) * 2 * frequencies.size();
  }
}

}  // namespace

void take_rows(const AttentionCall& call) {
  for (int form = 0; form < kRopeForms; ++form) {
    take_rows_of(call, form);
  }
}

}  // namespace rapid
