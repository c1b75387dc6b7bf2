// Causal attention over paged keys and values, for a ragged batch: the rows of
// qkv are the new tokens of several sequences, one after another.
//
// The op norms and rotates the heads of q and k, writes the new k and v into
// the pages, then each query row attends to positions
// [max(0, p - window + 1), p] of its own sequence. Tiles sit at fixed
// absolute positions (a page is a tile) and their partial softmax results are
// merged in page order, so a row's result never depends on how many rows came
// with it. Softmax and sums are float32. The sequences of a batch may have
// their rotations in different forms (PageList::form).
//
// A page is the unit of sharing. A page that two sequences hold is never
// written: PageList::prepare_append copies it first.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/elementwise.h"
#include "simd/kv_codes.h"

namespace rapid {

constexpr int kPageTokens = 64;

struct KvPage {
  // page_shape(), evaluated whenever no graph is being built.
  // float32 or float16: [2, kv_heads, kPageTokens * head_dim]. The keys of a
  // head lie as [head_dim, kPageTokens] (a vector takes one dimension of many
  // tokens), its values as [kPageTokens, head_dim].
  // Codes: [2, kv_heads, bytes of a block] uint8 (simd/kv_codes.h), the keys'
  // channels mixed (mixed_channels.h).
  mx::array data;
};

struct KvShape {
  int heads = 0;
  int dim = 0;
  mx::Dtype dtype = mx::float32;  // uint8 where there are codes
  int bits = 0;                   // of a code: 8 or 4; 0 = stored as they are

  // `dtype` is for bits == 0.
  static KvShape of(int heads, int dim, mx::Dtype dtype, int bits) {
    return {heads, dim, bits > 0 ? mx::uint8 : dtype, bits};
  }
  KvCodes codes() const { return kv_codes(dim, bits); }
};

mx::Shape page_shape(const KvShape& shape);

// The pages of one sequence in one layer. Copying shares the pages.
struct PageList {
  KvShape shape;
  std::vector<std::shared_ptr<KvPage>> pages;  // null = freed (sliding)
  int length = 0;  // tokens held, including the freed ones
  int form = 0;    // of the rotation that its keys have (RopeOptions)

  // Makes room for `count` tokens: new pages at the end, and a copy of the
  // last one if it is shared and not full.
  void prepare_append(int count);
  // Drops everything from token `length` on.
  void truncate(int new_length);
  // Frees pages wholly before token `first` (sliding windows).
  void free_before(int first);
  size_t bytes() const;  // of pages held here, shared ones included
};

// Where a layer's keys and values come from.
enum class KvSource {
  own,     // columns of qkv, those of k and then those of v
  key,     // columns of k alone: v is k before its norm and rotation
  shared,  // none: another layer has written both for these rows
};

struct AttentionOptions {
  int heads = 0;  // of q; k and v have those of the pages
  float scale = 1.0f;
  int window = 0;        // 0 = all earlier tokens
  float softcap = 0.0f;  // 0 = off: cap * tanh(score / cap)
  RopeOptions rope;      // of q and k
  // Each head of q is followed by a gate of its size, and what it attends to is
  // multiplied by the gate's sigmoid.
  bool gated = false;
  // Over each head, or over all heads at once where the weight is as long (and
  // q is not gated).
  std::optional<RmsNorm> q_norm;
  std::optional<RmsNorm> k_norm;
  bool norm_last = false;         // q_norm and k_norm come after the rotation
  std::optional<RmsNorm> v_norm;  // over each head
  KvSource source = KvSource::own;
  // A score per head of q beside those of the positions, of a value of zero.
  std::optional<mx::array> sinks = std::nullopt;  // [heads] float32, evaluated
  // q is multiplied by 1 + growth log(1 + floor(position / growth_tokens)).
  float growth = 0.0f;
  int growth_tokens = 1;
};

// How often the heads of k and v lie in a row of qkv.
constexpr int kv_columns(KvSource source) {
  return source == KvSource::own ? 2 : source == KvSource::key ? 1 : 0;
}

// The factor of q at a position.
float query_growth(const AttentionOptions& options, int position);

// The options of a layer and what follows from them, made once.
struct Attention {
  explicit Attention(AttentionOptions o)
      : options(std::move(o)),
        frequencies{
            rope_frequencies(options.rope, 0),
            rope_frequencies(options.rope, 1)} {}
  AttentionOptions options;
  std::array<std::vector<float>, kRopeForms> frequencies;  // by form
};

using AttentionPtr = std::shared_ptr<const Attention>;

// Rows [first_row, first_row + rows) belong to `pages`, which already has room
// for them; they sit at positions pages->length .. pages->length + rows - 1.
// With KvSource::shared they are the last `rows` that the pages hold.
struct AttentionRows {
  PageList* pages = nullptr;
  int first_row = 0;
  int rows = 0;
};

// qkv [T, (Hq + 2 Hkv) D] float32, the heads of q, k and v one after another
// (gated: [T, (2 Hq + 2 Hkv) D]; fewer by KvSource) -> [T, Hq D] float32.
// Advances each pages->length by its rows when the graph is built, unless they
// are shared. Page contents are only valid after the result was evaluated.
mx::array attention(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch);

mx::array attention_reference(
    const mx::array& qkv,
    const Attention& layer,
    std::span<const AttentionRows> batch);

}  // namespace rapid
