#include "kernels/attention_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu_primitive.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

// One sequence's part of a call, its pages held until the kernel has run.
struct Sequence {
  std::vector<std::shared_ptr<KvPage>> pages;
  int start = 0;  // position of its first new row
  int first_row = 0;
  int rows = 0;
};

// One query position of one sequence, with one KV head.
struct Unit {
  const Sequence* sequence;
  int row;  // within the sequence
  int head;
};

struct Call {
  std::vector<Sequence> sequences;
  AttentionOptions options;
  KvShape shape;
  int group = 1;  // query heads per KV head
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  float* out = nullptr;
  float* partials = nullptr;

  bool half() const { return shape.dtype == mx::float16; }
  int state_size() const { return group * (shape.dim + 2); }
};

float* thread_memory(size_t floats) {
  thread_local std::vector<float> memory;
  if (memory.size() < floats) {
    memory.resize(floats);
  }
  return memory.data();
}

// Element index of (which, head, slot) in a page.
size_t page_at(const KvShape& shape, int which, int head, int slot) {
  return ((static_cast<size_t>(which) * shape.heads + head) * kPageTokens +
          slot) *
         shape.dim;
}

void write_row(const Call& call, const Sequence& s, int row) {
  const int position = s.start + row;
  KvPage& page = *s.pages[static_cast<size_t>(position / kPageTokens)];
  const int dim = call.shape.dim;
  for (int which = 0; which < 2; ++which) {
    const float* from =
        (which == 0 ? call.k : call.v) +
        static_cast<size_t>(s.first_row + row) * call.shape.heads * dim;
    for (int head = 0; head < call.shape.heads; ++head) {
      const size_t at =
          page_at(call.shape, which, head, position % kPageTokens);
      if (call.half()) {
        auto* to = page.data.data<mx::float16_t>() + at;
        for (int i = 0; i < dim; ++i) {
          to[i] = static_cast<mx::float16_t>(from[head * dim + i]);
        }
      } else {
        std::copy_n(from + head * dim, dim, page.data.data<float>() + at);
      }
    }
  }
}

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
  const int window = call.options.window;
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
  query.scale = call.options.scale;
  query.softcap = call.options.softcap;
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
  float* states = thread_memory((units.size() + 1) * size + 2 * tile_floats);
  float* partial = states + units.size() * size;
  float* memory = partial + size;
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
  ThreadPool::global().run(
      static_cast<int>(pieces.size()), 2, [&](int begin, int end) {
        float* memory = thread_memory(2 * tile_floats);
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
              call.partials + static_cast<size_t>(i) * size);
        }
      });
  for (size_t i = 0; i < pieces.size();) {
    const Unit& unit = pieces[i].unit;
    float* state = call.partials + i * size;
    for (++i;
         i < pieces.size() && pieces[i].unit.sequence == unit.sequence &&
         pieces[i].unit.row == unit.row && pieces[i].unit.head == unit.head;
         ++i) {
      fold(call, state, call.partials + i * size, false);
    }
    finish(call, unit, state);
  }
}

class RapidAttention final : public CpuPrimitive {
 public:
  explicit RapidAttention(Call call) : call_(std::move(call)) {}
  const char* name() const override { return "RapidAttention"; }

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    auto call = std::make_shared<Call>(call_);
    call->q = rows<float>(inputs[0]);
    call->k = rows<float>(inputs[1]);
    call->v = rows<float>(inputs[2]);
    call->out = allocate(out);
    int units = 0;
    for (const Sequence& s : call->sequences) {
      units += s.rows * call->shape.heads;
    }
    auto pieces = std::make_shared<std::vector<Piece>>();
    if (units < 32) {
      *pieces = pieces_of(*call);
      const auto floats = static_cast<int>(pieces->size()) * call->state_size();
      mx::array partials(
          mx::allocator::malloc(static_cast<size_t>(floats) * sizeof(float)),
          {floats},
          mx::float32);
      call->partials = partials.data<float>();
      encoder().add_temporary(std::move(partials));
    }
    encoder().dispatch([call, pieces] {
      for (const Sequence& s : call->sequences) {
        ThreadPool::global().run(s.rows, 64, [&](int begin, int end) {
          for (int row = begin; row < end; ++row) {
            write_row(*call, s, row);
          }
        });
      }
      if (pieces->empty()) {
        run_blocks(*call);
      } else {
        run_pieces(*call, *pieces);
      }
    });
  }

 private:
  Call call_;
};

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(std::string("attention: ") + what);
  }
}

}  // namespace

mx::array attention_cpu(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    std::span<const AttentionRows> batch,
    const AttentionOptions& options) {
  check(!batch.empty(), "an empty batch");
  Call call;
  call.options = options;
  call.shape = batch.front().pages->shape;
  check(
      call.shape.dtype == mx::float32 || call.shape.dtype == mx::float16,
      "pages are float32 or float16");
  check(
      q.ndim() == 3 && q.shape(2) == call.shape.dim &&
          q.shape(1) % call.shape.heads == 0 && k.shape() == v.shape() &&
          k.shape() ==
              mx::Shape({q.shape(0), call.shape.heads, call.shape.dim}),
      "the shapes of q, k and v do not fit the pages");
  call.group = q.shape(1) / call.shape.heads;
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
  check(row == q.shape(0), "rows that belong to no sequence");
  const mx::Shape shape = q.shape();
  return mx::array(
      shape,
      mx::float32,
      std::make_shared<RapidAttention>(std::move(call)),
      {as_type(q, mx::float32),
       as_type(k, mx::float32),
       as_type(v, mx::float32)});
}

}  // namespace rapid
