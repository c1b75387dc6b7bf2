#include <algorithm>

#include "kernels/attention_call_cpu.h"
#include "kernels/rotation_cpu.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

// A head, normed if asked and rotated, to `to`.
void turn_head(
    const AttentionCall& call,
    const float* from,
    const std::optional<RmsNorm>& norm,
    const float* turn,
    float* to) {
  const int dim = call.shape.dim;
  if (norm) {
    kernel_table().rms_norm(
        from, norm->weight.data<float>(), norm->eps, dim, to);
  } else {
    std::copy_n(from, dim, to);
  }
  const auto pairs = static_cast<int>(call.layer->frequencies.size());
  rotate(to, turn, pairs, call.options().rope.interleaved);
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

// The heads of one row: q to call.q, k and v into their page.
void take_row(
    const AttentionCall& call,
    const AttentionSequence& s,
    int row,
    const float* turn) {
  const AttentionOptions& o = call.options();
  const int position = s.start + row;
  const int slot = position % kPageTokens;
  KvPage& page = *s.pages[static_cast<size_t>(position / kPageTokens)];
  const auto dim = static_cast<size_t>(call.shape.dim);
  const auto index = static_cast<size_t>(s.first_row + row);
  const float* in = call.qkv + index * static_cast<size_t>(call.width());
  for (int head = 0; head < o.heads; ++head, in += dim) {
    float* q = call.queries(head / call.group, s.first_row + row) +
               static_cast<size_t>(head % call.group) * dim;
    turn_head(call, in, o.q_norm, turn, q);
  }
  Scratch scratch;
  auto* turned = scratch.take<float>(dim);
  for (int head = 0; head < call.shape.heads; ++head, in += dim) {
    turn_head(call, in, o.k_norm, turn, turned);
    store_key(call, turned, page, page_at(call.shape, 0, head) + slot);
  }
  for (int head = 0; head < call.shape.heads; ++head, in += dim) {
    const size_t at = page_at(call.shape, 1, head) + slot * dim;
    store_value(call, in, page, at);
  }
}

}  // namespace

void take_rows(const AttentionCall& call) {
  std::vector<int32_t> positions;
  for (const AttentionSequence& s : call.sequences) {
    for (int row = 0; row < s.rows; ++row) {
      positions.push_back(s.start + row);
    }
  }
  const std::vector<float>& frequencies = call.layer->frequencies;
  const float* turns = rotation_table(frequencies, positions);
  for (const AttentionSequence& s : call.sequences) {
    ThreadPool::global().run(s.rows, 8, [&](int begin, int end) {
      for (int row = begin; row < end; ++row) {
        const auto at = static_cast<size_t>(s.first_row + row);
        take_row(call, s, row, turns + at * 2 * frequencies.size());
      }
    });
  }
}

}  // namespace rapid
