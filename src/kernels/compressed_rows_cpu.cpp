// What compressed attention keeps of its rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/compressed_call_cpu.h"
#include "kernels/rotation_cpu.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

using Call = CompressedCall;
using Sequence = CompressedSequence;
using Place = CompressedPlace;

// The row's key and what is pending of it, into the pages.
void take_row(const Call& call, const Place& place) {
  const CompressedOptions& o = call.options();
  const CompressedShape& s = call.shape();
  const float* from = call.in_row(place.row) + o.first;
  const CompressedLists& lists = place.sequence->lists;
  float* key = lists.window.row(place.position);
  kernel_table().rms_norm(
      from, o.key_norm.weight.data<float>(), o.key_norm.eps, s.dim, key);
  turn_tail(call, key, s.dim, call.turn(place.row));
  if (s.rate > 0) {
    std::copy_n(
        from + s.dim, s.pending_width(), lists.pending.row(place.position));
  }
}

// One space of entries: where its values and gates lie in a pending row.
struct Space {
  const EntryRule* rule;
  int dim;
  int column;
};

// What an entry weighs: values and gates of one column range of a row.
struct Slot {
  const float* values;
  const float* gates;
  const float* bias;
};

std::vector<Slot> slots_of(
    const CompressedLists& lists, const Space& space, int entry) {
  const CompressedShape& s = lists.shape;
  const int width = s.series() * space.dim;
  const float* bias = space.rule->bias.data<float>();
  std::vector<Slot> out;
  for (int series = 0; series < s.series(); ++series) {
    const int window = entry - (s.series() - 1 - series);
    for (int i = 0; window >= 0 && i < s.rate; ++i) {
      const int from = space.column + series * space.dim;
      const float* row = lists.pending.row(window * s.rate + i);
      out.push_back(
          {row + from,
           row + from + width,
           bias + static_cast<size_t>(i) * width + series * space.dim});
    }
  }
  return out;
}

void make_entry(
    const Call& call,
    const CompressedLists& lists,
    const Space& space,
    int entry,
    const float* turn,
    float* out) {
  const std::vector<Slot> slots = slots_of(lists, space, entry);
  const int dim = space.dim;
  Scratch scratch;
  auto* top = scratch.take<float>(static_cast<size_t>(dim));
  auto* sum = scratch.take<float>(static_cast<size_t>(dim));
  auto* mixed = scratch.take<float>(static_cast<size_t>(dim));
  std::fill_n(top, dim, -std::numeric_limits<float>::infinity());
  std::fill_n(sum, dim, 0.0f);
  std::fill_n(mixed, dim, 0.0f);
  for (const Slot& slot : slots) {
    for (int d = 0; d < dim; ++d) {
      top[d] = std::max(top[d], slot.gates[d] + slot.bias[d]);
    }
  }
  for (const Slot& slot : slots) {
    for (int d = 0; d < dim; ++d) {
      const float part = std::exp(slot.gates[d] + slot.bias[d] - top[d]);
      sum[d] += part;
      mixed[d] += part * slot.values[d];
    }
  }
  for (int d = 0; d < dim; ++d) {
    mixed[d] /= sum[d];
  }
  const RmsNorm& norm = space.rule->norm;
  kernel_table().rms_norm(mixed, norm.weight.data<float>(), norm.eps, dim, out);
  turn_tail(call, out, dim, turn);
}

// The entries that the new rows have made whole.
void make_entries(const Call& call) {
  const CompressedOptions& o = call.options();
  const CompressedShape& s = call.shape();
  struct Made {
    const CompressedLists* lists;
    int entry;
  };
  std::vector<Made> made;
  std::vector<int32_t> positions;
  for (const Sequence& sequence : call.sequences) {
    const int end = s.entries_of(sequence.start + sequence.rows);
    for (int e = s.entries_of(sequence.start); e < end; ++e) {
      made.push_back({&sequence.lists, e});
      positions.push_back(e * s.rate);
    }
  }
  if (made.empty()) {
    return;
  }
  const float* turns =
      rotation_table(call.layer->frequencies, o.rope.amplitude, positions);
  ThreadPool::global().run(
      static_cast<int>(made.size()), 1, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          const auto& [lists, entry] = made[static_cast<size_t>(i)];
          const float* turn = turns + static_cast<size_t>(i) * 2 * call.pairs();
          make_entry(
              call,
              *lists,
              {&*o.entries, s.dim, 0},
              entry,
              turn,
              lists->entries.row(entry));
          if (o.index) {
            make_entry(
                call,
                *lists,
                {&*o.index, s.index_dim, 2 * s.series() * s.dim},
                entry,
                turn,
                lists->index.row(entry));
          }
        }
      });
}

}  // namespace

void turn_tail(
    const CompressedCall& call, float* x, int dim, const float* turn) {
  const int pairs = call.pairs();
  rotate(x + dim - 2 * pairs, turn, pairs, call.options().rope.interleaved);
}

void take_rows(const Call& call, const std::vector<Place>& places) {
  ThreadPool::global().run(call.tokens, 8, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      take_row(call, places[static_cast<size_t>(i)]);
    }
  });
  if (call.shape().rate > 0) {
    make_entries(call);
  }
}

}  // namespace rapid
