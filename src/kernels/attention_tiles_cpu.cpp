#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention_call_cpu.h"
#include "kernels/cpu_primitive.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

static_assert(kPageTokens == kPageKeys);

using Call = AttentionCall;
using Sequence = AttentionSequence;

KeyRange range_of(const Call& call, const Sequence& s, int row) {
  const int position = s.start + row;
  const int window = call.options().window;
  return {window > 0 ? std::max(0, position - window + 1) : 0, position + 1};
}

// Neighbouring rows of one sequence with one KV head.
struct Block {
  const Sequence* sequence;
  int head;
  int row;  // within the sequence
  int rows;

  int queries(const Call& call) const { return rows * call.group; }
};

// Tiles [first, last) that the rows of a block see.
struct Tiles {
  int first;
  int last;
  int count() const { return last - first; }
};

Tiles tiles_of(const Call& call, const Block& b) {
  const KeyRange top = range_of(call, *b.sequence, b.row);
  const KeyRange end = range_of(call, *b.sequence, b.row + b.rows - 1);
  return {top.first / kTileKeys, (end.last - 1) / kTileKeys + 1};
}

// Memory of a thread for one tile after another.
struct TileMemory {
  TileMemory(const Call& call, int queries) {
    work = scratch.take<float>(attend_floats(call.shape.dim));
    ranges = scratch.take<KeyRange>(static_cast<size_t>(queries));
    if (call.coded()) {
      expanded = scratch.take<float>(
          2 * static_cast<size_t>(kTileKeys) * call.shape.dim);
    }
  }
  Scratch scratch;
  float* work = nullptr;
  float* expanded = nullptr;  // a coded tile read back
  KeyRange* ranges = nullptr;
};

// The pages of a tile that somebody sees: [first, last) of the sequence.
struct Pages {
  int first;
  int last;
};

Pages pages_of(const Call& call, const Block& b, int tile) {
  const Sequence& s = *b.sequence;
  const int from = range_of(call, s, b.row).first / kPageKeys;
  const int to = (range_of(call, s, b.row + b.rows - 1).last - 1) / kPageKeys;
  return {
      std::max(from, tile * kTilePages),
      std::min(to + 1, (tile + 1) * kTilePages)};
}

template <typename T>
const T* stored(const Call& call, const Block& b, int page, int which) {
  return reinterpret_cast<const T*>(
             b.sequence->pages[static_cast<size_t>(page)]->data.data<char>()) +
         page_at(call.shape, which, b.head);
}

// Where a tile's reading begins.
struct Piece {
  Block block;
  int tile;
};

template <typename T>
TilePages<T> pages_at(const Call& call, const Piece& piece, const Piece* next) {
  TilePages<T> out;
  const Pages pages = pages_of(call, piece.block, piece.tile);
  for (int page = pages.first; page < pages.last; ++page) {
    const int at = page % kTilePages;
    out.keys[at] = stored<T>(call, piece.block, page, 0);
    out.values[at] = stored<T>(call, piece.block, page, 1);
  }
  if (next) {
    const int page = pages_of(call, next->block, next->tile).first;
    out.next = stored<T>(call, next->block, page, 0);
  }
  return out;
}

TilePages<float> read_back(
    const Call& call, const Piece& piece, float* memory) {
  TilePages<float> out;
  const KvCodes& codes = call.codes;
  const Pages pages = pages_of(call, piece.block, piece.tile);
  for (int page = pages.first; page < pages.last; ++page) {
    const auto& data =
        piece.block.sequence->pages[static_cast<size_t>(page)]->data;
    const uint8_t* keys = data.data<uint8_t>() + piece.block.head * codes.bytes;
    const uint8_t* values = keys + call.shape.heads * codes.bytes;
    const int at = page % kTilePages;
    out.keys[at] = memory;
    kernel_table().keys_of_codes(codes, keys, memory);
    memory += kPageKeys * call.shape.dim;
    out.values[at] = memory;
    kernel_table().values_of_codes(codes, values, memory);
    memory += kPageKeys * call.shape.dim;
  }
  return out;
}

void count_pages(const Call& call, const Piece& piece) {
  const Pages pages = pages_of(call, piece.block, piece.tile);
  const auto& any =
      piece.block.sequence->pages[static_cast<size_t>(pages.first)]->data;
  const auto heads = static_cast<size_t>(call.shape.heads);
  const auto count = static_cast<size_t>(pages.last - pages.first);
  count_read(count * any.nbytes() / heads, 0);
}

// The rows of a block meet one tile.
void attend(
    const Call& call,
    const Piece& piece,
    const Piece* next,
    TileMemory& memory,
    float* states) {
  const Block& b = piece.block;
  const int base = piece.tile * kTileKeys;
  for (int i = 0; i < b.rows; ++i) {
    const KeyRange all = range_of(call, *b.sequence, b.row + i);
    const KeyRange seen = {
        std::clamp(all.first - base, 0, kTileKeys),
        std::clamp(all.last - base, 0, kTileKeys)};
    std::fill_n(memory.ranges + i * call.group, call.group, seen);
  }
  count_pages(call, piece);
  const TileQuery query = {
      .q = call.queries(b.head, b.sequence->first_row + b.row),
      .ranges = memory.ranges,
      .rows = b.queries(call),
      .dim = call.shape.dim,
      .scale = call.options().scale,
      .softcap = call.options().softcap};
  const KernelTable& table = kernel_table();
  if (call.coded()) {
    const auto pages = read_back(call, piece, memory.expanded);
    table.attend(query, pages, memory.work, states);
  } else if (call.half()) {
    const auto pages = pages_at<uint16_t>(call, piece, next);
    table.attend_halves(query, pages, memory.work, states);
  } else {
    const auto pages = pages_at<float>(call, piece, next);
    table.attend(query, pages, memory.work, states);
  }
}

// Rows that have seen nothing.
void begin(const Call& call, int queries, float* states) {
  for (int i = 0; i < queries; ++i) {
    states[static_cast<size_t>(i) * (call.shape.dim + 2)] =
        -std::numeric_limits<float>::infinity();
  }
}

// Query `index` of the block.
void finish(
    const Call& call, const Block& block, int index, const float* state) {
  const int dim = call.shape.dim;
  const auto row = static_cast<size_t>(
      block.sequence->first_row + block.row + index / call.group);
  const int head = block.head * call.group + index % call.group;
  float* out = call.out + (row * call.heads() + head) * dim;
  float sum = state[1];
  if (const auto& sinks = call.options().sinks) {
    // Infinity leaves nothing.
    sum += std::exp(sinks->data<float>()[head] - state[0]);
  }
  for (int i = 0; i < dim; ++i) {
    out[i] = state[2 + i] / sum;
  }
  if (call.options().gated) {
    const float* gate = call.qkv + row * static_cast<size_t>(call.width()) +
                        static_cast<size_t>(head) * call.q_stride() + dim;
    kernel_table().sigmoid_gate(gate, out, dim, out);
  }
}

// A block walks its tiles in order.
void run_block(const Call& call, const Block& block) {
  const int queries = block.queries(call);
  const int width = call.shape.dim + 2;
  TileMemory memory(call, queries);
  auto* states =
      memory.scratch.take<float>(static_cast<size_t>(queries) * width);
  begin(call, queries, states);
  const Tiles tiles = tiles_of(call, block);
  for (int tile = tiles.first; tile < tiles.last; ++tile) {
    const Piece next = {block, tile + 1};
    attend(
        call,
        {block, tile},
        tile + 1 < tiles.last ? &next : nullptr,
        memory,
        states);
  }
  for (int i = 0; i < queries; ++i) {
    finish(call, block, i, states + static_cast<size_t>(i) * width);
  }
}

// Rows that share the reading of a tile: its price counts once.
int block_rows(const Call& call) {
  constexpr int kQueries = 512;
  return std::clamp(kQueries / call.group, 1, 128);
}

std::vector<Block> blocks_of(const Call& call) {
  std::vector<Block> blocks;
  const int most = block_rows(call);
  for (const Sequence& s : call.sequences) {
    for (int head = 0; head < call.shape.heads; ++head) {
      for (int row = 0; row < s.rows; row += most) {
        blocks.push_back({&s, head, row, std::min(most, s.rows - row)});
      }
    }
  }
  return blocks;
}

void run_blocks(const Call& call, std::vector<Block> blocks) {
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

// Few blocks are split by tiles, too.
struct Split {
  std::vector<Piece> pieces;
  std::vector<size_t> at;      // of a piece's states
  std::vector<size_t> starts;  // a block's first piece, and the end
  size_t floats = 0;
};

Split split(const Call& call, const std::vector<Block>& blocks) {
  Split out;
  for (const Block& block : blocks) {
    out.starts.push_back(out.pieces.size());
    const Tiles tiles = tiles_of(call, block);
    for (int tile = tiles.first; tile < tiles.last; ++tile) {
      out.pieces.push_back({block, tile});
      out.at.push_back(out.floats);
      out.floats +=
          static_cast<size_t>(block.queries(call)) * (call.shape.dim + 2);
    }
  }
  out.starts.push_back(out.pieces.size());
  return out;
}

// Some queries of a block merge their tiles in order, as run_block does.
struct Fold {
  size_t block;
  int first;
  int count;
};

void run_fold(
    const Call& call, const Split& split, const Fold& fold, float* states) {
  const int width = call.shape.dim + 2;
  const size_t from = split.starts[fold.block];
  const size_t to = split.starts[fold.block + 1];
  const size_t by = static_cast<size_t>(fold.first) * width;
  float* state = states + split.at[from] + by;
  for (size_t i = from + 1; i < to; ++i) {
    kernel_table().merge(
        state, states + split.at[i] + by, width, fold.count, call.shape.dim);
  }
  for (int i = 0; i < fold.count; ++i) {
    finish(
        call,
        split.pieces[from].block,
        fold.first + i,
        state + static_cast<size_t>(i) * width);
  }
}

void fold_pieces(
    const Call& call,
    const std::vector<Block>& blocks,
    const Split& split,
    float* states) {
  constexpr int kTogether = 8;  // queries
  constexpr int kWorthIt = 16;  // tiles, to wake a thread
  std::vector<Fold> folds;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int queries = blocks[b].queries(call);
    for (int first = 0; first < queries; first += kTogether) {
      folds.push_back({b, first, std::min(kTogether, queries - first)});
    }
  }
  const int tiles = static_cast<int>(split.pieces.size() / blocks.size());
  ThreadPool::global().run(
      static_cast<int>(folds.size()),
      std::max(1, kWorthIt / std::max(tiles, 1)),
      [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          run_fold(call, split, folds[static_cast<size_t>(i)], states);
        }
      });
}

void run_pieces(
    const Call& call, const std::vector<Block>& blocks, const Split& split) {
  Scratch scratch;
  auto* states = scratch.take<float>(split.floats);
  int most = 0;  // the sequences of a batch differ in rows
  for (const Block& block : blocks) {
    most = std::max(most, block.queries(call));
  }
  ThreadPool::global().run(
      static_cast<int>(split.pieces.size()), 1, [&](int first, int end) {
        TileMemory memory(call, most);
        for (int i = first; i < end; ++i) {
          const auto at = static_cast<size_t>(i);
          const Piece& piece = split.pieces[at];
          float* to = states + split.at[at];
          begin(call, piece.block.queries(call), to);
          attend(
              call,
              piece,
              i + 1 < end ? &split.pieces[at + 1] : nullptr,
              memory,
              to);
        }
      });
  fold_pieces(call, blocks, split, states);
}

// Asks for what a block reads first while its rows are taken in: lines of 64
// bytes of the tile's first page.
void ask_for(const Call& call, const Piece& piece) {
  constexpr size_t kLine = 64;
  if (call.coded()) {
    return;
  }
  const Block& b = piece.block;
  const int page = pages_of(call, b, piece.tile).first;
  const size_t size = call.half() ? 2 : 4;
  const auto dim = static_cast<size_t>(call.shape.dim);
  const int base = page * kPageKeys;
  const auto within = [&](int position) {
    return static_cast<size_t>(std::clamp(position - base, 0, kPageKeys));
  };
  const size_t first = within(range_of(call, *b.sequence, b.row).first);
  const size_t last =
      within(range_of(call, *b.sequence, b.row + b.rows - 1).last);
  const auto* data =
      b.sequence->pages[static_cast<size_t>(page)]->data.data<char>();
  const char* keys = data + page_at(call.shape, 0, b.head) * size;
  for (size_t d = 0; d < dim; ++d, keys += kPageKeys * size) {
    for (size_t at = first * size / kLine * kLine; at < last * size;
         at += kLine) {
      __builtin_prefetch(keys + at);
    }
  }
  const char* values = data + page_at(call.shape, 1, b.head) * size;
  for (size_t at = first * dim * size; at < last * dim * size; at += kLine) {
    __builtin_prefetch(values + at);
  }
}

}  // namespace

void attend_rows(const AttentionCall& call) {
  const std::vector<Block> blocks = blocks_of(call);
  // So many keep all threads at work to the end.
  const auto many = static_cast<size_t>(4 * ThreadPool::global().threads());
  if (blocks.size() >= many) {
    take_rows(call);
    run_blocks(call, blocks);
    return;
  }
  const Split pieces = split(call, blocks);
  for (size_t i = 0; i < std::min<size_t>(pieces.pieces.size(), 4); ++i) {
    ask_for(call, pieces.pieces[i]);
  }
  take_rows(call);
  run_pieces(call, blocks, pieces);
}

}  // namespace rapid
