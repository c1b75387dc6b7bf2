// Causal attention over paged keys and values, for a ragged batch: the rows of
// qkv are the new tokens of several sequences, one after another.
//
// The op norms and rotates the heads of q and k, writes the new k and v into
// the pages, then each query row attends to positions
// [max(0, p - window + 1), p] of its own sequence. Tiles sit at fixed
// absolute positions (a page is a tile) and their partial softmax results are
// merged in page order, so a row's result never depends on how many rows came
// with it. Softmax and sums are float32.
//
// A page is the unit of sharing. A page that two sequences hold is never
// written: PageList::prepare_append copies it first.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/elementwise.h"

namespace rapid {

constexpr int kPageTokens = 64;

struct KvPage {
  // [2, kv_heads, kPageTokens * head_dim], float32 or float16; evaluated
  // whenever no graph is being built. The keys of a head lie as [head_dim,
  // kPageTokens] (a vector takes one dimension of many tokens), its values as
  // [kPageTokens, head_dim].
  mx::array data;
};

struct KvShape {
  int heads = 0;
  int dim = 0;
  mx::Dtype dtype = mx::float32;
};

// The pages of one sequence in one layer. Copying shares the pages.
struct PageList {
  KvShape shape;
  std::vector<std::shared_ptr<KvPage>> pages;  // null = freed (sliding)
  int length = 0;  // tokens held, including the freed ones

  // Makes room for `count` tokens: new pages at the end, and a copy of the
  // last one if it is shared and not full.
  void prepare_append(int count);
  // Drops everything from token `length` on.
  void truncate(int new_length);
  // Frees pages wholly before token `first` (sliding windows).
  void free_before(int first);
  size_t bytes() const;  // of pages held here, shared ones included
};

struct AttentionOptions {
  int heads = 0;  // of q; k and v have those of the pages
  float scale = 1.0f;
  int window = 0;        // 0 = all earlier tokens
  float softcap = 0.0f;  // 0 = off: cap * tanh(score / cap)
  RopeOptions rope;      // of q and k
  // Over each head, before the rotation.
  std::optional<RmsNorm> q_norm;
  std::optional<RmsNorm> k_norm;
};

// The options of a layer and what follows from them, made once.
struct Attention {
  explicit Attention(AttentionOptions o)
      : options(std::move(o)), frequencies(rope_frequencies(options.rope)) {}
  AttentionOptions options;
  std::vector<float> frequencies;
};

using AttentionPtr = std::shared_ptr<const Attention>;

// Rows [first_row, first_row + rows) belong to `pages`, which already has room
// for them; they sit at positions pages->length .. pages->length + rows - 1.
struct AttentionRows {
  PageList* pages = nullptr;
  int first_row = 0;
  int rows = 0;
};

// qkv [T, (Hq + 2 Hkv) D] float32, the heads of q, k and v one after another
// -> [T, Hq D] float32. Advances each pages->length by its rows when the graph
// is built. Page contents are only valid after the result was evaluated.
mx::array attention(
    const mx::array& qkv,
    const AttentionPtr& layer,
    std::span<const AttentionRows> batch);

mx::array attention_reference(
    const mx::array& qkv,
    const Attention& layer,
    std::span<const AttentionRows> batch);

}  // namespace rapid
