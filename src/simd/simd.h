// The inner loops of the CPU kernels, compiled once per instruction set; one
// table of functions each. Plain pointers, no MLX, no library templates (an
// inlined one compiled for AVX-512 could be picked by the linker for
// everybody).
//
// Every function gives the same bits for a row whatever the other rows are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hub/quant_scheme.h"
#include "hub/tensor_type.h"
#include "simd/kv_codes.h"
#include "simd/packed_layout.h"

namespace rapid {

enum class Isa { scalar, avx2, avx512, amx, neon };

// Those that this machine can run, weakest first.
std::vector<Isa> available_isas();
const char* isa_name(Isa isa);
Isa active_isa();
// For tests; not while a kernel runs. The start value is the strongest one,
// or RAPID_MLX_ISA=scalar|avx2|avx512|amx|neon.
void set_isa(Isa isa);
// RAPID_MLX_ISA's value where this machine cannot run it, else null.
const char* refused_isa_wish();

// A matrix as its file stores it.
struct RowSource {
  const uint8_t* data = nullptr;
  size_t row_bytes = 0;
  int cols = 0;
  TensorType type = TensorType::f32;
  // MLX's packed schemes only:
  bool packed = false;
  QuantScheme scheme;
  const uint8_t* scales = nullptr;
  const uint8_t* biases = nullptr;
  TensorType scale_type = TensorType::f32;
  size_t scale_row_bytes = 0;
};

// Keys and values of one head lie in pages; a tile is a few of them at a fixed
// place, and what softmax is taken over at once.
constexpr int kPageKeys = 64;
constexpr int kTilePages = 4;
constexpr int kTileKeys = kTilePages * kPageKeys;

// What a query sees of a tile: [first, last); nothing where they are equal.
struct KeyRange {
  int first = 0;
  int last = 0;
};

// Queries that meet one tile of one head.
struct TileQuery {
  const float* q = nullptr;          // [rows, dim]
  const KeyRange* ranges = nullptr;  // [rows]
  int rows = 0;
  int dim = 0;
  float scale = 1;  // positive
  float softcap = 0;
};

// float or, as bits, float16. Pages that no query sees may be null; `next` is
// what will be read after them, or null.
template <typename T>
struct TilePages {
  const T* keys[kTilePages] = {};    // [dim, kPageKeys] each
  const T* values[kTilePages] = {};  // [kPageKeys, dim] each
  const T* next = nullptr;
};

// One token meets the state [dim, ..] of a head of a linear recurrence. With
// `delta` u = beta (value - decay key S), else u = value; then
//   S <- decay S + key u^T;  out = query S
struct FoldToken {
  const float* key = nullptr;    // [dim]
  const float* query = nullptr;  // [dim]
  const float* value = nullptr;  // of the columns in question
  float* out = nullptr;          // the same
  int dim = 0;
  float decay = 1;
  float beta = 1;
  bool delta = false;
};

constexpr int kMostTaps = 8;

// out[i] = bias[i] + sum_j weight[j * stride + i] taps[j][i], j ascending.
struct ConvTaps {
  const float* const* taps = nullptr;  // [kernel], at most kMostTaps
  int kernel = 0;
  const float* weight = nullptr;
  int64_t stride = 0;
  const float* bias = nullptr;  // or null
  bool silu = false;
};

struct KernelTable {
  // Row `row` as float32, bit-equal to dequantise() / dequantise_mlx().
  void (*expand)(const RowSource& source, int64_t row, float* out);

  // out[r * out_stride + n] = x[r] . w[n], r < rows, n < count; rows of x and
  // w are k long and k apart.
  void (*dots)(
      const float* w,
      int count,
      const float* x,
      int rows,
      int k,
      float* out,
      int64_t out_stride);

  // out[n] = x . row first + n of a float16 or bfloat16 matrix, n < count;
  // bit-equal to `dots` over the expanded rows.
  void (*half_dots)(
      const RowSource& w, int first, int count, const float* x, float* out);
  // out[n] = sum over i < count of a[i] * b[i * b_stride + n], n < width, i
  // ascending. A column's bits don't depend on where the columns begin, as
  // long as that is a multiple of kPanelRows.
  void (*weighted_sum)(
      const float* a,
      const float* b,
      int64_t b_stride,
      int count,
      int width,
      float* out);
  // n floats to float16, rounded to nearest even.
  void (*to_halves)(const float* x, int n, uint16_t* out);

  // Row x [cols] to int8: codes [cols], scales [cols / 32], sums [cols / 16].
  // code = round(x / scale), scale = max |x| / 127 of its block.
  void (*quantise)(
      const float* x, int cols, int8_t* codes, float* scales, int32_t* sums);
  // out[r * out_stride + n - n0] = x[r] . w[n] for r < rows and the rows n of
  // panels [begin, end), of which n0 is the first:
  //   sum over blocks of scale_x (scale_w sum(code_w code_x) + min sum(code_x))
  // The inner sums are exact integers; blocks add up in column order.
  void (*packed_dots)(
      const PanelSource& w,
      const QuantisedRow* x,
      int rows,
      int begin,
      int end,
      float* out,
      int64_t out_stride);

  void (*rms_norm)(
      const float* x, const float* weight, float eps, int n, float* out);
  void (*silu)(const float* gate, const float* up, int64_t n, float* out);
  void (*gelu)(const float* gate, const float* up, int64_t n, float* out);

  // Sum of exp((x - top) * scale) over n elements; a NaN counts as nothing.
  double (*exp_sum)(const float* x, int64_t n, float top, float scale);

  // states [rows, dim + 2]: per row the maximum score, the sum of
  // exp(score - maximum) and the values weighted by that, over all that was
  // seen so far; a maximum of -infinity: nothing. The tile's own is merged in.
  // `memory` is attend_floats(dim), 64-byte aligned.
  void (*attend)(
      const TileQuery& query,
      const TilePages<float>& pages,
      float* memory,
      float* states);
  // The same over float16, with the bits of the above over the expanded pages;
  // of Isa::amx with operands of 16 bits of mantissa.
  void (*attend_halves)(
      const TileQuery& query,
      const TilePages<uint16_t>& pages,
      float* memory,
      float* states);
  // Merges the next tile's partials into the states, both laid out as above,
  // those of the partials `stride` apart.
  void (*merge)(
      float* states, const float* partials, int64_t stride, int rows, int dim);

  // The first `width` columns of a state whose rows are `stride` apart.
  void (*fold)(const FoldToken& token, float* state, int64_t stride, int width);
  void (*conv)(const ConvTaps& taps, int n, float* out);
  // out = x / (1 + exp(-gate)), element by element.
  void (*sigmoid_gate)(
      const float* gate, const float* x, int64_t n, float* out);
  // A row x [dim] to codes [row_bytes], scales and biases [groups], float16.
  void (*to_codes)(
      const float* x,
      const KvCodes& shape,
      uint8_t* codes,
      uint16_t* scales,
      uint16_t* biases);
  // A head's block of a page as attend reads it: keys [dim, kPageKeys], values
  // [kPageKeys, dim].
  void (*keys_of_codes)(const KvCodes& shape, const uint8_t* block, float* out);
  void (*values_of_codes)(
      const KvCodes& shape, const uint8_t* block, float* out);

  // Reads so many bytes (a multiple of 256), and what they say is of no use.
  uint64_t (*read_all)(const uint8_t* p, size_t bytes);
  // As many products as fit into registers alone, of 4-bit codes with int8 and
  // of float32: how many operations that were (a product and its sum are two).
  // `data` is 768 bytes, `sink` 12 floats.
  int64_t (*int8_work)(const uint8_t* data, int64_t rounds, float* sink);
  int64_t (*float_work)(const uint8_t* data, int64_t rounds, float* sink);
};

const KernelTable& kernel_table();

// Memory of KernelTable::attend and attend_halves.
size_t attend_floats(int dim);

// KernelTable::float_work with bfloat16 products; null: the machine has none.
using PeakWork = int64_t (*)(const uint8_t* data, int64_t rounds, float* sink);
PeakWork bfloat_work();

// Null where the compiler's target lacks the instruction set.
const KernelTable* scalar_kernels();
const KernelTable* avx2_kernels();
const KernelTable* avx512_kernels();
const KernelTable* neon_kernels();

// KernelTable::attend_halves in tiles of AMX: Isa::amx is AVX-512 with this
// one.
using HalvesAttention = void (*)(
    const TileQuery& query,
    const TilePages<uint16_t>& pages,
    float* memory,
    float* states);
HalvesAttention amx_attention();

}  // namespace rapid
