#include "kernels/attention_cpu.h"

#include <algorithm>
#include <array>

#include "kernels/attention_call_cpu.h"
#include "kernels/cpu_primitive.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

using Call = AttentionCall;
using Sequence = AttentionSequence;

// One query position of one sequence, with one KV head.
struct Unit {
  const Sequence* sequence;
  int row;  // within the sequence
  int head;
};

// Keys or values of one head and tile as float32.
const float* tile_of(
    const Call& call, KvPage& page, int which, int head, float* memory) {
  const size_t at = page_at(call.shape, which, head, 0);
  if (!call.half()) {
    return page.data.data<float>() + at;
  }
  RowSource source;
  source.data =
      reinterpret_cast<const uint8_t*>(page.data.data<mx::float16_t>() + at);
  source.type = TensorType::f16;
  source.cols = kPageTokens * call.shape.dim;
  kernel_table().expand(source, 0, memory);
  return memory;
}

struct Range {
  int first;  // positions that a query sees: [first, last)
  int last;
};

Range range_of(const Call& call, const Sequence& s, int row) {
  const int position = s.start + row;
  const int window = call.options().window;
  return {window > 0 ? std::max(0, position - window + 1) : 0, position + 1};
}

// The partial result of one unit over one tile; k and v are the tile's.
void attend_tile(
    const Call& call,
    const Unit& unit,
    int tile,
    const float* k,
    const float* v,
    float* partial) {
  const Range range = range_of(call, *unit.sequence, unit.row);
  const int base = tile * kPageTokens;
  TileQuery query;
  query.q =
      call.q + ((static_cast<size_t>(unit.sequence->first_row) + unit.row) *
                    call.shape.heads +
                unit.head) *
                   call.group * call.shape.dim;
  query.group = call.group;
  query.dim = call.shape.dim;
  query.scale = call.options().scale;
  query.softcap = call.options().softcap;
  kernel_table().attend(
      query,
      k,
      v,
      std::max(range.first - base, 0),
      std::min(range.last - base, kPageTokens),
      partial);
}

// The first tile's partial becomes the state, later ones are folded in.
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

void finish(const Call& call, const Unit& unit, const float* state) {
  const int dim = call.shape.dim;
  float* out =
      call.out + ((static_cast<size_t>(unit.sequence->first_row) + unit.row) *
                      call.shape.heads +
                  unit.head) *
                     call.group * dim;
  for (int g = 0; g < call.group; ++g) {
    const float* row = state + g * (dim + 2);
    for (int i = 0; i < dim; ++i) {
      out[g * dim + i] = row[2 + i] / row[1];
    }
  }
}

// Many units: each walks its tiles in order. Neighbouring rows share a head's
// tile while it is in the cache.
void run_block(const Call& call, std::span<const Unit> units) {
  const int size = call.state_size();
  const size_t tile_floats = static_cast<size_t>(kPageTokens) * call.shape.dim;
  Scratch scratch;
  float* states = scratch.take<float>(units.size() * size);
  auto* partial = scratch.take<float>(static_cast<size_t>(size));
  auto* memory = scratch.take<float>(2 * tile_floats);
  const Sequence& s = *units.front().sequence;
  const int head = units.front().head;
  const int first = range_of(call, s, units.front().row).first / kPageTokens;
  const int last = (range_of(call, s, units.back().row).last - 1) / kPageTokens;
  for (int tile = first; tile <= last; ++tile) {
    KvPage& page = *s.pages[static_cast<size_t>(tile)];
    const float* k = tile_of(call, page, 0, head, memory);
    const float* v = tile_of(call, page, 1, head, memory + tile_floats);
    for (size_t i = 0; i < units.size(); ++i) {
      const Range range = range_of(call, s, units[i].row);
      const int begin = range.first / kPageTokens;
      if (tile < begin || tile > (range.last - 1) / kPageTokens) {
        continue;
      }
      attend_tile(call, units[i], tile, k, v, partial);
      fold(call, states + i * size, partial, tile == begin);
    }
  }
  for (size_t i = 0; i < units.size(); ++i) {
    finish(call, units[i], states + i * size);
  }
}

constexpr int kBlockRows = 16;

struct Block {
  const Sequence* sequence;
  int head;
  int row;
  int rows;
};

void run_blocks(const Call& call) {
  std::vector<Block> blocks;
  for (const Sequence& s : call.sequences) {
    for (int head = 0; head < call.shape.heads; ++head) {
      for (int row = 0; row < s.rows; row += kBlockRows) {
        blocks.push_back({&s, head, row, std::min(kBlockRows, s.rows - row)});
      }
    }
  }
  ThreadPool::global().run(
      static_cast<int>(blocks.size()), 1, [&](int begin, int end) {
        for (int b = begin; b < end; ++b) {
          const Block& block = blocks[static_cast<size_t>(b)];
          std::array<Unit, kBlockRows> units;
          for (int i = 0; i < block.rows; ++i) {
            units[static_cast<size_t>(i)] = {
                block.sequence, block.row + i, block.head};
          }
          run_block(call, {units.data(), static_cast<size_t>(block.rows)});
        }
      });
}

struct Piece {
  Unit unit;
  int tile;
};

std::vector<Piece> pieces_of(const Call& call) {
  std::vector<Piece> out;
  for (const Sequence& s : call.sequences) {
    for (int row = 0; row < s.rows; ++row) {
      const Range range = range_of(call, s, row);
      for (int head = 0; head < call.shape.heads; ++head) {
        for (int tile = range.first / kPageTokens;
             tile <= (range.last - 1) / kPageTokens;
             ++tile) {
          out.push_back({{&s, row, head}, tile});
        }
      }
    }
  }
  return out;
}

// Few units: threads share out the tiles, then the partials are folded in the
// same order as above.
void run_pieces(const Call& call, const std::vector<Piece>& pieces) {
  const auto size = static_cast<size_t>(call.state_size());
  const size_t tile_floats = static_cast<size_t>(kPageTokens) * call.shape.dim;
  Scratch scratch;
  auto* partials = scratch.take<float>(pieces.size() * size);
  ThreadPool::global().run(
      static_cast<int>(pieces.size()), 2, [&](int begin, int end) {
        Scratch own;
        auto* memory = own.take<float>(2 * tile_floats);
        for (int i = begin; i < end; ++i) {
          const Piece& piece = pieces[static_cast<size_t>(i)];
          const Unit& unit = piece.unit;
          KvPage& page = *unit.sequence->pages[static_cast<size_t>(piece.tile)];
          attend_tile(
              call,
              unit,
              piece.tile,
              tile_of(call, page, 0, unit.head, memory),
              tile_of(call, page, 1, unit.head, memory + tile_floats),
              partials + static_cast<size_t>(i) * size);
        }
      });
  for (size_t i = 0; i < pieces.size();) {
    const Unit& unit = pieces[i].unit;
    float* state = partials + i * size;
    for (++i;
         i < pieces.size() && pieces[i].unit.sequence == unit.sequence &&
         pieces[i].unit.row == unit.row && pieces[i].unit.head == unit.head;
         ++i) {
      fold(call, state, partials + i * size, false);
    }
    finish(call, unit, state);
  }
}

// Fewer units than this share out their tiles, too.
constexpr int kFewUnits = 32;

void run(Call& call, int tokens) {
  Scratch scratch;
  call.q = scratch.take<float>(
      static_cast<size_t>(tokens) * call.heads() * call.shape.dim);
  take_rows(call);
  if (tokens * call.shape.heads < kFewUnits) {
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
    encoder().dispatch([call, tokens = out.shape(0)] { run(*call, tokens); });
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
