#include "kernels/attention_cpu.h"

#include <algorithm>

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

// One tile's keys and values of one head, float32 or as stored.
struct Tile {
  const float* keys = nullptr;
  const float* values = nullptr;
  const uint16_t* half_keys = nullptr;
  const uint16_t* half_values = nullptr;
};

Tile tile_of(const Call& call, const Sequence& s, int index, int head) {
  KvPage& page = *s.pages[static_cast<size_t>(index)];
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

void finish(const Call& call, const Block& block, int row, const float* state) {
  const int dim = call.shape.dim;
  const auto index = static_cast<size_t>(block.sequence->first_row + row);
  float* out =
      call.out + (index * call.shape.heads + block.head) * call.group * dim;
  for (int g = 0; g < call.group; ++g, state += dim + 2, out += dim) {
    for (int i = 0; i < dim; ++i) {
      out[i] = state[2 + i] / state[1];
    }
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
  const size_t tile_floats = static_cast<size_t>(kPageTokens) * call.shape.dim;
  Scratch scratch;
  float* states = scratch.take<float>(block.rows * size);
  auto* partials = scratch.take<float>(block.rows * size);
  auto* memory = scratch.take<float>(2 * tile_floats);
  const int end = block.row + block.rows;
  const int from = first_tile(range_of(call, s, block.row));
  const int to = last_tile(range_of(call, s, end - 1));
  for (int index = from; index <= to; ++index) {
    Tile tile = tile_of(call, s, index, block.head);
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

// Few rows: threads share out the tiles, then the partials are folded in the
// same order as above.
void run_pieces(const Call& call, const std::vector<Piece>& pieces) {
  const auto size = static_cast<size_t>(call.state_size());
  Scratch scratch;
  auto* partials = scratch.take<float>(pieces.size() * size);
  ThreadPool::global().run(
      static_cast<int>(pieces.size()), 2, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          const Piece& piece = pieces[static_cast<size_t>(i)];
          const Block& b = piece.block;
          const Tile tile = tile_of(call, *b.sequence, piece.tile, b.head);
          float* partial = partials + static_cast<size_t>(i) * size;
          attend_rows(call, b, b.row, 1, piece.tile, tile, partial);
        }
      });
  for (size_t i = 0; i < pieces.size();) {
    const Block& b = pieces[i].block;
    const int last = last_tile(range_of(call, *b.sequence, b.row));
    float* state = partials + i * size;
    while (pieces[i].tile < last) {
      fold(call, state, partials + ++i * size, false);
    }
    finish(call, b, b.row, state);
    ++i;
  }
}

// Fewer (row, head) pairs than this share out their tiles, too.
constexpr int kFewRows = 32;

void run(Call& call) {
  Scratch scratch;
  call.q = scratch.take<float>(
      static_cast<size_t>(call.tokens) * call.heads() * call.shape.dim);
  take_rows(call);
  if (call.tokens * call.shape.heads < kFewRows) {
    run_pieces(call, pieces_of(call));
  } else {
    run_blocks(call);
  }
}

class RapidAttention final : public CpuPrimitive {
 public:
  explicit RapidAttention(Call call) : call_(std::move(call)) {}
  const char* name() const override { return "RapidAttention"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    auto call = std::make_shared<Call>(std::move(call_));
    call->qkv = rows<float>(inputs[0]);
    call->out = allocate(out);
    call->tokens = out.shape(0);
    encoder().dispatch([call] { run(*call); });
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
  const auto fits = [&](const std::optional<RmsNorm>& norm) {
    return !norm || norm->weight.size() == static_cast<size_t>(call.shape.dim);
  };
  check(
      call.shape.dtype == mx::float32 || call.shape.dtype == mx::float16,
      "pages are float32 or float16");
  check(
      o.heads > 0 && o.heads % call.shape.heads == 0 &&
          o.rope.dims <= call.shape.dim && o.rope.dims % 2 == 0 &&
          fits(o.q_norm) && fits(o.k_norm),
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
  check_layer(call);
  call.group = call.heads() / call.shape.heads;
  check(
      qkv.ndim() == 2 && qkv.shape(1) == call.width(),
      "the width of qkv does not fit the heads");
  int row = 0;
  for (const AttentionRows& rows : batch) {
    PageList& list = *rows.pages;
    const int end = list.length + rows.rows;
    check(rows.first_row == row, "the rows of a batch must lie in order");
    check(
        list.pages.size() * kPageTokens >= static_cast<size_t>(end),
        "no room in the pages: call prepare_append first");
    call.sequences.push_back(
        {list.pages, list.length, rows.first_row, rows.rows});
    list.length = end;
    row += rows.rows;
  }
  check(row == qkv.shape(0), "rows that belong to no sequence");
  const mx::Shape shape = {row, call.heads() * call.shape.dim};
  return mx::array(
      shape,
      mx::float32,
      std::make_shared<RapidAttention>(std::move(call)),
      {as_type(qkv, mx::float32)});
}

}  // namespace rapid
