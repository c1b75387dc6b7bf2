#include "kernels/compressed_cpu.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "kernels/compressed_call_cpu.h"
#include "kernels/cpu_primitive.h"
#include "kernels/rotation_cpu.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

using Call = CompressedCall;
using Sequence = CompressedSequence;
using Place = CompressedPlace;

std::vector<Place> places_of(const Call& call) {
  std::vector<Place> out;
  for (const Sequence& s : call.sequences) {
    for (int i = 0; i < s.rows; ++i) {
      out.push_back({&s, s.first_row + i, s.start + i});
    }
  }
  return out;
}

void turn_back(const Call& call, float* x, int dim, const float* turn) {
  const int pairs = call.pairs();
  Scratch scratch;
  auto* back = scratch.take<float>(2 * static_cast<size_t>(pairs));
  std::copy_n(turn, pairs, back);
  std::transform(turn + pairs, turn + 2 * pairs, back + pairs, std::negate<>());
  turn_tail(call, x, dim, back);
}

// Rows that lie one after another.
struct Run {
  const float* rows;
  int count;
};

void add_run(
    std::vector<Run>& out, const RowPages& pages, int first, int last) {
  while (first < last) {
    const int end = std::min(last, (first / kRowsOfPage + 1) * kRowsOfPage);
    out.push_back({pages.row(first), end - first});
    first = end;
  }
}

// Scores of entries [0, count) in the space of the index.
void score_entries(
    const Call& call, const Place& place, int count, float* scores) {
  const CompressedOptions& o = call.options();
  const int dim = call.shape().index_dim;
  const int heads = o.index_heads;
  Scratch scratch;
  auto* q = scratch.take<float>(static_cast<size_t>(heads) * dim);
  auto* dots = scratch.take<float>(static_cast<size_t>(heads) * kRowsOfPage);
  std::copy_n(
      call.q_row(place.row) + static_cast<size_t>(o.heads) * call.shape().dim,
      static_cast<size_t>(heads) * dim,
      q);
  for (int h = 0; h < heads; ++h) {
    turn_tail(
        call, q + static_cast<size_t>(h) * dim, dim, call.turn(place.row));
  }
  const float* weights =
      call.in_row(place.row) + call.layer->in_width() - heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  const float share = 1.0f / std::sqrt(static_cast<float>(heads));
  std::vector<Run> runs;
  add_run(runs, place.sequence->lists.index, 0, count);
  for (const Run& run : runs) {
    kernel_table().dots(run.rows, run.count, q, heads, dim, dots, kRowsOfPage);
    for (int i = 0; i < run.count; ++i) {
      float sum = 0;
      for (int h = 0; h < heads; ++h) {
        const float score = std::max(dots[h * kRowsOfPage + i], 0.0f) * scale;
        sum += score * (weights[h] * share);
      }
      *scores++ = sum;
    }
  }
}

// The entries that a row sees, ascending.
std::vector<int> choose(const Call& call, const Place& place) {
  const int count = call.shape().entries_of(place.position + 1);
  const int top = call.options().index ? call.options().top : count;
  std::vector<int> out(static_cast<size_t>(count));
  std::iota(out.begin(), out.end(), 0);
  if (count <= top) {
    return out;
  }
  std::vector<float> scores(out.size());
  score_entries(call, place, count, scores.data());
  for (float& score : scores) {  // what is no number comes last
    score = std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
  }
  std::nth_element(
      out.begin(), out.begin() + top, out.end(), [&](int a, int b) {
        const float x = scores[static_cast<size_t>(a)];
        const float y = scores[static_cast<size_t>(b)];
        return x > y || (x == y && a < b);
      });
  out.resize(static_cast<size_t>(top));
  std::sort(out.begin(), out.end());
  return out;
}

// All that a row sees, in one order.
std::vector<Run> seen_by(const Call& call, const Place& place) {
  const CompressedLists& lists = place.sequence->lists;
  std::vector<Run> out;
  add_run(
      out,
      lists.window,
      std::max(0, place.position - call.shape().window + 1),
      place.position + 1);
  if (call.shape().rate == 0) {
    return out;
  }
  const std::vector<int> chosen = choose(call, place);
  for (size_t i = 0; i < chosen.size();) {
    size_t end = i + 1;
    while (end < chosen.size() && chosen[end] == chosen[end - 1] + 1) {
      ++end;
    }
    add_run(out, lists.entries, chosen[i], chosen[end - 1] + 1);
    i = end;
  }
  return out;
}

// Scores [n] of one head to weights; the sink takes its part.
void soften(float* scores, int n, float scale, float sink) {
  float top = sink;
  for (int i = 0; i < n; ++i) {
    scores[i] *= scale;
    top = std::max(top, scores[i]);
  }
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    scores[i] = std::exp(scores[i] - top);
    sum += scores[i];
  }
  sum += std::exp(sink - top);
  for (int i = 0; i < n; ++i) {
    scores[i] /= sum;
  }
}

// Heads [first, first + count) of a row.
void attend(
    const Call& call,
    const Place& place,
    const std::vector<Run>& seen,
    int first,
    int count) {
  const CompressedOptions& o = call.options();
  const int dim = call.shape().dim;
  const auto size = static_cast<size_t>(dim);
  const int total =
      std::accumulate(seen.begin(), seen.end(), 0, [](int n, const Run& run) {
        return n + run.count;
      });
  Scratch scratch;
  auto* q = scratch.take<float>(count * size);
  auto* ones = scratch.take<float>(size);
  auto* part = scratch.take<float>(size);
  auto* scores = scratch.take<float>(static_cast<size_t>(count) * total);
  std::fill_n(ones, dim, 1.0f);
  const float* from = call.q_row(place.row) + first * size;
  for (int h = 0; h < count; ++h) {
    float* head = q + h * size;
    kernel_table().rms_norm(from + h * size, ones, o.q_eps, dim, head);
    turn_tail(call, head, dim, call.turn(place.row));
  }
  int at = 0;
  for (const Run& run : seen) {
    kernel_table().dots(run.rows, run.count, q, count, dim, scores + at, total);
    at += run.count;
  }
  float* out =
      call.out + (static_cast<size_t>(place.row) * o.heads + first) * size;
  const float* sinks = o.sinks.data<float>() + first;
  for (int h = 0; h < count; ++h, out += dim, scores += total) {
    soften(scores, total, o.scale, sinks[h]);
    std::fill_n(out, dim, 0.0f);
    const float* weights = scores;
    for (const Run& run : seen) {
      kernel_table().weighted_sum(weights, run.rows, dim, run.count, dim, part);
      weights += run.count;
      for (int d = 0; d < dim; ++d) {
        out[d] += part[d];
      }
    }
    turn_back(call, out, dim, call.turn(place.row));
  }
}

constexpr int kHeadBlock = 8;

void run(Call& call) {
  const std::vector<Place> places = places_of(call);
  std::vector<int32_t> positions;
  for (const Place& place : places) {
    positions.push_back(place.position);
  }
  const float* turns = rotation_table(
      call.layer->frequencies, call.options().rope.amplitude, positions);
  call.turns.assign(turns, turns + positions.size() * 2 * call.pairs());
  ThreadPool& pool = ThreadPool::global();
  take_rows(call, places);
  std::vector<std::vector<Run>> seen(places.size());
  pool.run(call.tokens, 1, [&](int begin, int end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end);
         ++i) {
      seen[i] = seen_by(call, places[i]);
    }
  });
  const int heads = call.options().heads;
  const int blocks = (heads + kHeadBlock - 1) / kHeadBlock;
  pool.run(call.tokens * blocks, 1, [&](int begin, int end) {
    for (int item = begin; item < end; ++item) {
      const auto row = static_cast<size_t>(item / blocks);
      const int first = item % blocks * kHeadBlock;
      attend(
          call,
          places[row],
          seen[row],
          first,
          std::min(kHeadBlock, heads - first));
    }
  });
}

class RapidCompressedAttention final : public CpuPrimitive {
 public:
  explicit RapidCompressedAttention(Call call) : call_(std::move(call)) {}
  const char* name() const override { return "RapidCompressedAttention"; }
  std::string_view op() const override { return "attention"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    auto call = std::make_shared<Call>(std::move(call_));
    call->q = rows<float>(inputs[0]);
    call->in = rows<float>(inputs[1]);
    call->out = out.data<float>();
    return [call] { run(*call); };
  }

 private:
  Call call_;
};

}  // namespace

mx::array compressed_attention_cpu(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttentionPtr& layer,
    std::span<const CompressedRows> batch) {
  Call call;
  call.layer = layer;
  call.tokens = q.shape(0);
  for (const CompressedRows& rows : batch) {
    const int start = rows.lists->length;
    rows.lists->advance(rows.rows);
    call.sequences.push_back({*rows.lists, start, rows.first_row, rows.rows});
  }
  return cpu_node(
      {call.tokens, layer->options.heads * layer->options.shape.dim},
      std::make_shared<RapidCompressedAttention>(std::move(call)),
      {as_type(q, mx::float32), as_type(in, mx::float32)});
}

}  // namespace rapid
