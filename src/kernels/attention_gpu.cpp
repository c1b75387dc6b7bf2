#include "kernels/attention_gpu.h"

#include <algorithm>
#include <unordered_map>

#include "kernels/cuda_step.h"
#include "kernels/gpu_kernel.h"
#include "tensor/device_memory.h"

namespace rapid {

namespace {

enum Flag {
  kGates = 1,
  kQNorm = 2,
  kKNorm = 4,
  kNormLast = 8,
  kInterleaved = 16,
  kSinks = 32
};

bool head_norm(const std::optional<RmsNorm>& norm, int dim) {
  return !norm || norm->weight.size() == static_cast<size_t>(dim);
}

bool known(
    const mx::array& qkv,
    const AttentionOptions& o,
    const KvShape& shape,
    std::span<const AttentionRows> batch) {
  const int dim = shape.dim;
  return cuda_kernels_active() && qkv.dtype() == mx::float32 &&
         shape.bits == 0 && shape.dtype == mx::float16 &&
         (dim == 64 || dim == 128 || dim == 256) &&
         o.heads % shape.heads == 0 && o.heads / shape.heads <= 8 &&
         o.source == KvSource::own && !o.v_norm && o.growth == 0 &&
         head_norm(o.q_norm, dim) && head_norm(o.k_norm, dim) &&
         batch.size() * static_cast<size_t>(shape.heads) <= 4096;
}

// New pages are zeros that nobody has made yet.
void make_pages(std::span<const AttentionRows> batch) {
  std::vector<mx::array> pending;
  for (const AttentionRows& rows : batch) {
    const PageList& list = *rows.pages;
    for (auto i = static_cast<size_t>(list.length / kPageTokens);
         i < list.pages.size();
         ++i) {
      if (list.pages[i]->data.status() == mx::array::Status::unscheduled) {
        pending.push_back(list.pages[i]->data);
      }
    }
  }
  if (!pending.empty()) {
    mx::eval(pending);
  }
}

// An array of host values that is only sent when they changed.
struct Sent {
  std::vector<int64_t> values;
  std::optional<mx::array> array;
};

// The pages' addresses on the device, a row each sequence.
mx::array page_table(
    const Attention& layer, std::span<const AttentionRows> batch, int most) {
  thread_local std::unordered_map<const Attention*, Sent> sent;
  std::vector<int64_t> values;
  for (const AttentionRows& rows : batch) {
    for (int i = 0; i < most; ++i) {
      const auto& pages = rows.pages->pages;
      const auto at = static_cast<size_t>(i);
      values.push_back(
          at < pages.size() && pages[at]
              ? reinterpret_cast<int64_t>(device_address(pages[at]->data))
              : 0);
    }
  }
  if (sent.size() > 1024) {
    sent.clear();
  }
  Sent& mine = sent[&layer];
  if (!mine.array || mine.values != values) {
    mine.values = values;
    mine.array =
        mx::array(values.data(), {static_cast<int>(values.size())}, mx::int64);
  }
  return *mine.array;
}

mx::array positions_array(std::span<const AttentionRows> batch) {
  thread_local std::vector<int32_t> values;
  thread_local std::optional<mx::array> array;
  std::vector<int32_t> now;
  for (const AttentionRows& rows : batch) {
    now.push_back(rows.pages->length);
  }
  if (!array || now != values) {
    values = now;
    array = mx::array(now.data(), {static_cast<int>(now.size())}, mx::int32);
  }
  return *array;
}

mx::array frequencies_of(const Attention& layer, int form) {
  thread_local std::unordered_map<const Attention*, Sent> sent[kRopeForms];
  auto& of_form = sent[form];
  if (of_form.size() > 1024) {
    of_form.clear();
  }
  Sent& mine = of_form[&layer];
  const auto& frequencies = layer.frequencies[static_cast<size_t>(form)];
  std::vector<int64_t> bits;
  for (const float f : frequencies) {
    bits.push_back(static_cast<int64_t>(static_cast<double>(f) * 1e15));
  }
  if (!mine.array || mine.values != bits) {
    std::vector<float> all = frequencies;
    all.push_back(0);  // never empty
    mine.values = bits;
    mine.array = mx::array(all.data(), {static_cast<int>(all.size())});
    mine.array->eval();
  }
  return *mine.array;
}

struct Call {
  const mx::array& qkv;
  const Attention& layer;
  std::span<const AttentionRows> batch;
  KvShape shape;
  int flags;
  int most_pages;
  mx::array table;
  mx::array freqs;                 // of the first sequence
  std::optional<StepTables> kept;  // where the step is being recorded

  const AttentionOptions& options() const { return layer.options; }
  const mx::array& weight_of(const std::optional<RmsNorm>& norm) const {
    return norm ? norm->weight : freqs;
  }
};

int flags_of(const AttentionOptions& o) {
  return (o.gated ? kGates : 0) | (o.q_norm ? kQNorm : 0) |
         (o.k_norm ? kKNorm : 0) | (o.norm_last ? kNormLast : 0) |
         (o.rope.interleaved ? kInterleaved : 0) | (o.sinks ? kSinks : 0);
}

float eps_of(const std::optional<RmsNorm>& norm) {
  return norm ? norm->eps : 0.0f;
}

mx::array& counters() {
  thread_local mx::array zeros = [] {
    mx::array made = mx::zeros({4096}, mx::int32);
    made.eval();
    return made;
  }();
  return zeros;
}

// How the tokens of a step's sequences are split between groups.
struct Splits {
  int share = 0;  // in tasks
  int count = 0;
};

int most_splits(int heads, int sequences) {
  // Two groups for each multiprocessor.
  return std::max(1, 2 * cuda_multiprocessors() / (heads * sequences));
}

Splits splits_of(std::span<const int> positions, int window, int heads) {
  constexpr int kTask = 16;  // tokens that a warp takes at a time
  int most = 1;
  for (const int at : positions) {
    const int low = window > 0 ? std::max(0, at - window + 1) : 0;
    most = std::max(most, at / kTask - low / kTask + 1);
  }
  // One task for each of a group's 8 warps, or two where merging the parts
  // would take longer.
  const int wanted = most_splits(heads, static_cast<int>(positions.size()));
  const int least = most <= 64 ? 8 : 16;
  const int share = std::max(least, ((most + wanted - 1) / wanted + 7) / 8 * 8);
  return {share, (most + share - 1) / share};
}

// Where the splits leave their parts. Launches follow each other, so one serves
// all; a kept step holds on to the one that it began with.
const mx::array& room_for_parts(int floats) {
  thread_local std::optional<mx::array> room;
  if (!room || room->size() < static_cast<size_t>(floats)) {
    room = mx::zeros({floats});
    room->eval();
  }
  return *room;
}

// Of a step that is kept: sets the splits for where its sequences are now.
std::function<bool(CudaLaunch&)> renewal(
    const StepTables& kept, int window, int heads) {
  return [positions = kept.positions_now, window, heads](CudaLaunch& launch) {
    constexpr size_t kShare = 5;  // of the scalars
    constexpr size_t kSplits = 6;
    const Splits now = splits_of(*positions, window, heads);
    const auto share = static_cast<uint32_t>(now.share);
    const auto splits = static_cast<uint32_t>(now.count);
    if (launch.scalars[kShare] == share && launch.scalars[kSplits] == splits) {
      return false;
    }
    launch.scalars[kShare] = share;
    launch.scalars[kSplits] = splits;
    launch.groups[0] = splits;
    return true;
  };
}

// One token of every sequence.
mx::array step(const Call& call) {
  const AttentionOptions& o = call.options();
  const auto sequences = static_cast<int>(call.batch.size());
  const int heads = call.shape.heads;
  const int dim = call.shape.dim;
  std::vector<int> at;
  for (const AttentionRows& rows : call.batch) {
    at.push_back(rows.pages->length);
  }
  const Splits splits = splits_of(at, o.window, heads);
  const bool only = sequences == 1 && !call.kept;
  const mx::array positions = call.kept ? call.kept->positions
                              : only    ? call.table
                                        : positions_array(call.batch);
  return gpu_kernel(
             "attention_step", {{"DIM", dim}, {"GROUP", o.heads / heads}})
      .run(
          {call.qkv,
           call.table,
           positions,
           call.freqs,
           call.weight_of(o.q_norm),
           call.weight_of(o.k_norm),
           o.sinks ? *o.sinks : call.freqs,
           counters(),
           room_for_parts(
               sequences * o.heads * most_splits(heads, sequences) *
               (dim + 2))},
          {mx::Shape{sequences, o.heads * dim}},
          {mx::float32},
          {call.qkv.shape(1),
           o.heads,
           heads,
           call.most_pages,
           only ? at[0] : -1,
           splits.share,
           splits.count,
           o.window,
           call.flags,
           o.rope.dims,
           o.scale,
           eps_of(o.q_norm),
           eps_of(o.k_norm),
           o.softcap,
           o.rope.amplitude},
          {.x = splits.count, .y = heads, .z = sequences},
          0,
          call.kept ? renewal(*call.kept, o.window, heads) : nullptr)[0];
}

// The rows of one sequence.
mx::array tiles(const Call& call, size_t sequence) {
  const AttentionOptions& o = call.options();
  const AttentionRows& rows = call.batch[sequence];
  const int dim = call.shape.dim;
  const int heads = call.shape.heads;
  const int start = rows.pages->length;
  const auto first = static_cast<int>(sequence) * call.most_pages;
  const mx::array table =
      mx::slice(call.table, {first}, {first + call.most_pages});
  const mx::array freqs = frequencies_of(call.layer, rows.pages->form);
  const mx::array q =
      gpu_kernel("attention_rows", {{"DIM", dim}})
          .run(
              {call.qkv,
               table,
               freqs,
               call.weight_of(o.q_norm),
               call.weight_of(o.k_norm)},
              {mx::Shape{rows.rows, o.heads, dim}},
              {mx::float16},
              {call.qkv.shape(1),
               o.heads,
               heads,
               rows.first_row,
               start,
               call.flags,
               o.rope.dims,
               o.scale,
               eps_of(o.q_norm),
               eps_of(o.k_norm),
               o.rope.amplitude},
              {.x = rows.rows, .y = (o.heads + 2 * heads + 3) / 4})[0];
  return gpu_kernel("attention_tiles", {{"DIM", dim}})
      .run(
          {q, table, call.qkv, o.sinks ? *o.sinks : call.freqs},
          {mx::Shape{rows.rows, o.heads * dim}},
          {mx::float32},
          {call.qkv.shape(1),
           o.heads,
           heads,
           rows.first_row,
           rows.rows,
           start,
           o.window,
           call.flags,
           o.softcap},
          {.x = (rows.rows + 63) / 64, .y = o.heads},
          2 * dim * kPageTokens * 2)[0];
}

}  // namespace

std::optional<mx::array> attention_gpu(
    const mx::array& qkv,
    const Attention& layer,
    std::span<const AttentionRows> batch) {
  const KvShape shape = batch.front().pages->shape;
  if (!known(qkv, layer.options, shape, batch)) {
    return std::nullopt;
  }
  make_pages(batch);
  int most = 0;
  bool single = true;
  for (const AttentionRows& rows : batch) {
    const int end = rows.pages->length + rows.rows;
    most = std::max(most, (end + kPageTokens - 1) / kPageTokens);
    // A step has the frequencies of one form.
    single = single && rows.rows == 1 &&
             rows.pages->form == batch.front().pages->form;
  }
  const auto kept = recorded_tables(*batch.front().pages);
  const Call call{
      qkv,
      layer,
      batch,
      shape,
      flags_of(layer.options),
      kept ? kept->most_pages : most,
      kept ? kept->pages : page_table(layer, batch, most),
      frequencies_of(layer, batch.front().pages->form),
      kept};
  std::vector<mx::array> parts;
  if (single) {
    parts.push_back(step(call));
  } else {
    for (size_t i = 0; i < batch.size(); ++i) {
      parts.push_back(tiles(call, i));
    }
  }
  for (const AttentionRows& rows : batch) {
    rows.pages->length += rows.rows;
  }
  return parts.size() == 1 ? parts[0] : mx::concatenate(std::move(parts), 0);
}

}  // namespace rapid
