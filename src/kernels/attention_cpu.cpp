#include "kernels/attention_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention_call_cpu.h"
#include "kernels/cpu_primitive.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

using Call = AttentionCall;
using Sequence = AttentionSequence;

struct Range {
  int first;  // positions that a query sees: [first, last)
  int last;
};

Range range_of(const Call& call, const Sequence& s, int row) {
  const int position = s.start + row;
  const int window = call.options().window;
  return {window > 0 ? std::max(0, position - window + 1) : 0, position + 1};
}

int first_tile(const Range& range) {
  return range.first / kPageTokens;
}

int last_tile(const Range& range) {
  return (range.last - 1) / kPageTokens;
}

// Neighbouring rows of one sequence with one KV head.
struct Block {
  const Sequence* sequence;
  int head;
  int row;  // within the sequence
  int rows;
};

// One tile's keys and values of one head, float32 or halves as stored.
struct Tile {
  const float* keys = nullptr;
  const float* values = nullptr;
  const uint16_t* half_keys = nullptr;
  const uint16_t* half_values = nullptr;
};

size_t tile_floats(const Call& call) {
  return static_cast<size_t>(kPageTokens) * call.shape.dim;
}

// Codes are read back to `memory`, twice tile_floats().
Tile tile_of(
    const Call& call, const Sequence& s, int index, int head, float* memory) {
  KvPage& page = *s.pages[static_cast<size_t>(index)];
  count_read(page.data.nbytes() / static_cast<size_t>(call.shape.heads), 0);
  if (call.coded()) {
    const uint8_t* keys = page.data.data<uint8_t>() + head * call.codes.bytes;
    const uint8_t* values = keys + call.shape.heads * call.codes.bytes;
    kernel_table().keys_of_codes(call.codes, keys, memory);
    kernel_table().values_of_codes(
        call.codes, values, memory + tile_floats(call));
    return {memory, memory + tile_floats(call)};
  }
  const size_t keys = page_at(call.shape, 0, head);
  const size_t values = page_at(call.shape, 1, head);
  Tile out;
  if (call.half()) {
    const auto* data =
        reinterpret_cast<const uint16_t*>(page.data.data<mx::float16_t>());
    out.half_keys = data + keys;
    out.half_values = data + values;
  } else {
    out.keys = page.data.data<float>() + keys;
    out.values = page.data.data<float>() + values;
  }
  return out;
}

// Asks for what a row will read of a tile: lines of 64 bytes, while others are
// worked on. Weights have thrown all keys and values out of the caches.
void ask_for(const Call& call, const Sequence& s, int row, int tile, int head) {
  constexpr size_t kLine = 64;
  if (call.coded()) {
    return;
  }
  const auto* data = s.pages[static_cast<size_t>(tile)]->data.data<char>();
  const size_t size = call.half() ? 2 : 4;
  const auto dim = static_cast<size_t>(call.shape.dim);
  const Range range = range_of(call, s, row);
  const int base = tile * kPageTokens;
  const auto first = static_cast<size_t>(std::max(range.first - base, 0));
  const auto last =
      static_cast<size_t>(std::min(range.last - base, kPageTokens));
  const char* keys = data + page_at(call.shape, 0, head) * size;
  for (size_t d = 0; d < dim; ++d, keys += kPageTokens * size) {
    for (size_t at = first * size / kLine * kLine; at < last * size;
         at += kLine) {
      __builtin_prefetch(keys + at);
    }
  }
  const char* values = data + page_at(call.shape, 1, head) * size;
  for (size_t at = first * dim * size; at < last * dim * size; at += kLine) {
    __builtin_prefetch(values + at);
  }
}

// Expanded once for the many rows that will read it.
void expand(Tile& tile, int dim, float* memory) {
  RowSource source;
  source.type = TensorType::f16;
  source.cols = kPageTokens * dim;
  source.data = reinterpret_cast<const uint8_t*>(tile.half_keys);
  kernel_table().expand(source, 0, memory);
  source.data = reinterpret_cast<const uint8_t*>(tile.half_values);
  kernel_table().expand(source, 0, memory + source.cols);
  tile = {memory, memory + source.cols};
}

// Rows [row, row + rows) of the sequence, which see the same part of a tile.
void attend_rows(
    const Call& call,
    const Block& block,
    int row,
    int rows,
    int tile_index,
    const Tile& tile,
    float* partial) {
  const Range range = range_of(call, *block.sequence, row);
  const int base = tile_index * kPageTokens;
  const int first = std::max(range.first - base, 0);
  const int last = std::min(range.last - base, kPageTokens);
  TileQuery query;
  query.q = call.queries(block.head, block.sequence->first_row + row);
  query.rows = rows * call.group;
  query.dim = call.shape.dim;
  query.scale = call.options().scale;
  query.softcap = call.options().softcap;
  const KernelTable& table = kernel_table();
  if (tile.keys) {
    table.attend(query, tile.keys, tile.values, first, last, partial);
  } else {
    table.attend_halves(
        query, tile.half_keys, tile.half_values, first, last, partial);
  }
}

// A row's first tile becomes its state, later ones are folded in.
void fold(const Call& call, float* state, const float* partial, bool first) {
  const int size = call.shape.dim + 2;
  if (first) {
    std::copy_n(partial, call.state_size(), state);
    return;
  }
  for (int g = 0; g < call.group; ++g) {
    kernel_table().merge(state + g * size, partial + g * size, call.shape.dim);
  }
}

// Head g of the group, from its part of the row's state.
void finish_head(
    const Call& call, const Block& block, int row, int g, const float* state) {
  const int dim = call.shape.dim;
  const auto index = static_cast<size_t>(block.sequence->first_row + row);
  const int head = block.head * call.group + g;
  float* out = call.out + (index * call.heads() + head) * dim;
  float sum = state[1];
  if (const auto& sinks = call.options().sinks) {
    // Infinity leaves nothing.
    sum += std::exp(sinks->data<float>()[head] - state[0]);
  }
  for (int i = 0; i < dim; ++i) {
    out[i] = state[2 + i] / sum;
  }
  if (call.options().gated) {
    const float* gate = call.qkv + index * static_cast<size_t>(call.width()) +
                        static_cast<size_t>(head) * call.q_stride() + dim;
    kernel_table().sigmoid_gate(gate, out, dim, out);
  }
}

void finish(const Call& call, const Block& block, int row, const float* state) {
  for (int g = 0; g < call.group; ++g, state += call.shape.dim + 2) {
    finish_head(call, block, row, g, state);
  }
}

bool sees_all(const Range& range, int tile) {
  return range.first <= tile * kPageTokens &&
         range.last >= (tile + 1) * kPageTokens;
}

// Many rows: each walks its tiles in order, those that see a whole tile
// together.
void run_block(const Call& call, const Block& block) {
  const Sequence& s = *block.sequence;
  const auto size = static_cast<size_t>(call.state_size());
  Scratch scratch;
  float* states = scratch.take<float>(block.rows * size);
  auto* partials = scratch.take<float>(block.rows * size);
  auto* memory = scratch.take<float>(2 * tile_floats(call));
  const int end = block.row + block.rows;
  const int from = first_tile(range_of(call, s, block.row));
  const int to = last_tile(range_of(call, s, end - 1));
  for (int index = from; index <= to; ++index) {
    Tile tile = tile_of(call, s, index, block.head, memory);
    if (call.half()) {
      expand(tile, call.shape.dim, memory);
    }
    for (int row = block.row; row < end;) {
      const Range range = range_of(call, s, row);
      if (index < first_tile(range) || index > last_tile(range)) {
        ++row;
        continue;
      }
      int rows = 1;
      while (sees_all(range, index) && row + rows < end &&
             sees_all(range_of(call, s, row + rows), index)) {
        ++rows;
      }
      attend_rows(call, block, row, rows, index, tile, partials);
      for (int i = 0; i < rows; ++i, ++row) {
        const bool first = index == first_tile(range_of(call, s, row));
        float* state = states + static_cast<size_t>(row - block.row) * size;
        fold(call, state, partials + i * size, first);
      }
    }
  }
  for (int i = 0; i < block.rows; ++i) {
    finish(call, block, block.row + i, states + i * size);
  }
}

constexpr int kBlockRows = 32;

void run_blocks(const Call& call) {
  std::vector<Block> blocks;
  for (const Sequence& s : call.sequences) {
    for (int head = 0; head < call.shape.heads; ++head) {
      for (int row = 0; row < s.rows; row += kBlockRows) {
        const int rows = std::min(kBlockRows, s.rows - row);
        blocks.push_back({&s, head, row, rows});
      }
    }
  }
  // The longest first, so that threads end together.
  std::ranges::stable_sort(blocks, [](const Block& a, const Block& b) {
    return a.sequence->start + a.row > b.sequence->start + b.row;
  });
  ThreadPool::global().run(
      static_cast<int>(blocks.size()), 1, [&](int begin, int end) {
        for (int b = begin; b < end; ++b) {
          run_block(call, blocks[static_cast<size_t>(b)]);
        }
      });
}

// One row and one of its tiles.
struct Piece {
  Block block;
  int tile;
};

void ask_for(const Call& call, const Piece& piece) {
  const Block& b = piece.block;
  ask_for(call, *b.sequence, b.row, piece.tile, b.head);
}

std::vector<Piece> pieces_of(const Call& call) {
  std::vector<Piece> out;
  for (const Sequence& s : call.sequences) {
    for (int row = 0; row < s.rows; ++row) {
      const Range range = range_of(call, s, row);
      for (int head = 0; head < call.shape.heads; ++head) {
        for (int i = first_tile(range); i <= last_tile(range); ++i) {
          out.push_back({{&s, head, row, 1}, i});
        }
      }
    }
  }
  return out;
}

bool same_rows(const Block& a, const Block& b) {
  return a.sequence == b.sequence && a.head == b.head && a.row == b.row;
}

// Each head of each row folds its tiles in order; so many that it is worth
// waking a thread are shared out.
void fold_pieces(
    const Call& call, const std::vector<Piece>& pieces, float* partials) {
  constexpr int kWorthIt = 64;  // tiles
  const auto size = static_cast<size_t>(call.state_size());
  const int width = call.shape.dim + 2;
  std::vector<size_t> starts;  // of a row's tiles with one KV head
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i == 0 || !same_rows(pieces[i].block, pieces[i - 1].block)) {
      starts.push_back(i);
    }
  }
  const auto fold_head = [&](int index) {
    const auto start = static_cast<size_t>(index / call.group);
    const int g = index % call.group;
    const size_t last =
        start + 1 < starts.size() ? starts[start + 1] : pieces.size();
    float* state = partials + starts[start] * size + g * width;
    for (size_t i = starts[start] + 1; i < last; ++i) {
      kernel_table().merge(
          state, partials + i * size + g * width, call.shape.dim);
    }
    const Block& b = pieces[starts[start]].block;
    finish_head(call, b, b.row, g, state);
  };
  const int heads = static_cast<int>(starts.size()) * call.group;
  const int tiles = static_cast<int>(pieces.size()) * call.group / heads;
  ThreadPool::global().run(
      heads, std::max(1, kWorthIt / tiles), [&](int begin, int end) {
        for (int index = begin; index < end; ++index) {
          fold_head(index);
        }
      });
}

// Few rows: threads share out the tiles, then the partials are folded in the
// same order as above.
void run_pieces(const Call& call, const std::vector<Piece>& pieces) {
  const auto size = static_cast<size_t>(call.state_size());
  Scratch scratch;
  auto* partials = scratch.take<float>(pieces.size() * size);
  ThreadPool::global().run(
      static_cast<int>(pieces.size()), 4, [&](int begin, int end) {
        Scratch own;
        auto* memory =
            call.coded() ? own.take<float>(2 * tile_floats(call)) : nullptr;
        for (int i = begin; i < end; ++i) {
          const Piece& piece = pieces[static_cast<size_t>(i)];
          const Block& b = piece.block;
          const Tile tile =
              tile_of(call, *b.sequence, piece.tile, b.head, memory);
          if (i + 1 < end) {
            ask_for(call, pieces[static_cast<size_t>(i) + 1]);
          }
          float* partial = partials + static_cast<size_t>(i) * size;
          attend_rows(call, b, b.row, 1, piece.tile, tile, partial);
        }
      });
  fold_pieces(call, pieces, partials);
}

// Fewer (row, head) pairs than this share out their tiles, too.
constexpr int kFewRows = 32;

void run(Call& call) {
  Scratch scratch;
  call.q = scratch.take<float>(
      static_cast<size_t>(call.tokens) * call.heads() * call.shape.dim);
  if (call.tokens * call.shape.heads >= kFewRows) {
    take_rows(call);
    run_blocks(call);
    return;
  }
  const std::vector<Piece> pieces = pieces_of(call);
  for (size_t i = 0; i < std::min<size_t>(pieces.size(), 4); ++i) {
    ask_for(call, pieces[i]);
  }
  take_rows(call);
  run_pieces(call, pieces);
}

class RapidAttention final : public CpuPrimitive {
 public:
  explicit RapidAttention(Call call) : call_(std::move(call)) {}
  const char* name() const override { return "RapidAttention"; }
  std::string_view op() const override { return "attention"; }

  CpuWork work(const std::vector<mx::array>& inputs, mx::array& out) override {
    auto call = std::make_shared<Call>(std::move(call_));
    call->qkv = rows<float>(inputs[0]);
    call->out = out.data<float>();
    call->tokens = out.shape(0);
    return [call] { run(*call); };
  }

 private:
  Call call_;
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("attention: ") + what);
  }
}

void check_layer(const Call& call) {
  const AttentionOptions& o = call.options();
  const auto fits = [&](const std::optional<RmsNorm>& norm, int heads) {
    const auto dim = static_cast<size_t>(call.shape.dim);
    return !norm || norm->weight.size() == dim ||
           norm->weight.size() == dim * static_cast<size_t>(heads);
  };
  const KvShape& shape = call.shape;
  check(
      shape.bits == 0
          ? shape.dtype == mx::float32 || shape.dtype == mx::float16
          : shape.dtype == mx::uint8 && (shape.bits == 8 || shape.bits == 4),
      "pages are float32, float16, or codes of 8 or 4 bits");
  check(
      o.heads > 0 && o.heads % call.shape.heads == 0 &&
          o.rope.dims <= call.shape.dim && o.rope.dims % 2 == 0 &&
          o.growth_tokens > 0 &&
          (!o.sinks || static_cast<int>(o.sinks->size()) == o.heads) &&
          fits(o.q_norm, o.heads) && fits(o.k_norm, call.shape.heads) &&
          fits(o.v_norm, 1),
      "heads, norms or rotation do not fit the pages");
}

}  // namespace

mx::array attention_cpu(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch) {
  check(!batch.empty(), "an empty batch");
  Call call;
  call.layer = layer;
  call.shape = batch.front().pages->shape;
  call.codes = call.coded() ? call.shape.codes() : KvCodes();
  check_layer(call);
  call.group = call.heads() / call.shape.heads;
  check(
      qkv.ndim() == 2 && qkv.shape(1) == call.width(),
      "the width of qkv does not fit the heads");
  const bool shared = layer->options.source == KvSource::shared;
  int row = 0;
  for (const AttentionRows& rows : batch) {
    PageList& list = *rows.pages;
    const int start = list.length - (shared ? rows.rows : 0);
    const int end = start + rows.rows;
    check(rows.first_row == row, "the rows of a batch must lie in order");
    check(start >= 0, "rows that the pages do not hold");
    check(
        list.pages.size() * kPageTokens >= static_cast<size_t>(end),
        "no room in the pages: call prepare_append first");
    call.sequences.push_back({list.pages, start, rows.first_row, rows.rows});
    list.length = end;
    row += rows.rows;
  }
  check(row == qkv.shape(0), "rows that belong to no sequence");
  const mx::Shape shape = {row, call.heads() * call.shape.dim};
  return cpu_node(
      shape,
      std::make_shared<RapidAttention>(std::move(call)),
      {as_type(qkv, mx::float32)});
}

}  // namespace rapid
