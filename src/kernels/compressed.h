// Causal attention over a window of tokens and over compressed entries of all
// tokens, for a ragged batch. One head of keys is the values, too; its last
// dims are rotated by position, and turned back in what comes out.
//
//   window   row p sees the keys of tokens (p - window, p]
//   entries  every `rate` tokens make one: their values, weighed per column by
//            a softmax over the gates (+ bias of the place), normed, rotated as
//            the first of them. With `overlap` each token gives two series, and
//            entry e weighs the first series of the `rate` tokens before its
//            own, too. Row p sees entries e with (e + 1) rate <= p + 1.
//   index    entries of the same tokens in a space of its own: row p sees only
//            the `top` entries that score highest, sum over heads h of
//            weight_h relu(q_h k_e) (equal scores: the earlier entry).
//   sinks    a score per head beside them, of a value of zero
//
// Softmax and sums are float32. A row depends on its own position and on the
// tokens before it only, never on how many rows came with it.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "kernels/elementwise.h"
#include "kernels/row_pages.h"

namespace rapid {

struct CompressedShape {
  int dim = 0;           // of the keys
  int window = 0;        // tokens
  int rate = 0;          // tokens an entry; 0 = no entries
  bool overlap = false;  // two series
  int index_dim = 0;     // 0 = every entry is seen

  int series() const { return overlap ? 2 : 1; }
  // What is kept of a token until its entries are made: values and gates of
  // the entries, then of the index.
  int pending_width() const {
    return rate == 0 ? 0 : 2 * series() * (dim + index_dim);
  }
  // Of a token in `in`: its key, then what is pending.
  int token_width() const { return dim + pending_width(); }
  int entries_of(int tokens) const { return rate == 0 ? 0 : tokens / rate; }
  // The first token whose pending row is needed behind `tokens` tokens.
  int first_pending(int tokens) const;
  bool operator==(const CompressedShape&) const = default;
};

// What one layer holds of one sequence. Copying shares the pages.
struct CompressedLists {
  explicit CompressedLists(const CompressedShape& shape);

  CompressedShape shape;
  RowPages window;   // keys
  RowPages pending;  // rows
  RowPages entries;
  RowPages index;
  int length = 0;  // tokens

  void prepare_append(int tokens);
  // Moves all counts on by so many tokens.
  void advance(int tokens);
  void truncate(int new_length);
  // Frees what is not needed to go back to `length` tokens.
  void free_before(int length);
  // Whether all that is needed to go on from `length` tokens is there.
  bool holds(int length) const;
  size_t bytes() const;
};

// How the entries of one space come about.
struct EntryRule {
  mx::array bias;  // [rate, series dim] float32, evaluated
  RmsNorm norm;    // [dim]
};

struct CompressedOptions {
  CompressedShape shape;
  int heads = 0;
  float scale = 1.0f;
  float q_eps = 1e-6f;  // heads of q are normed without a weight
  RmsNorm key_norm;
  RopeOptions rope;  // of the last dims of keys, entries and queries
  mx::array sinks;   // [heads] float32, evaluated
  std::optional<EntryRule> entries = std::nullopt;
  std::optional<EntryRule> index = std::nullopt;
  int index_heads = 0;
  int top = 0;
  int first = 0;  // column of `in` where a token begins
};

struct CompressedAttention {
  explicit CompressedAttention(CompressedOptions o)
      : options(std::move(o)), frequencies(rope_frequencies(options.rope)) {}
  CompressedOptions options;
  std::vector<float> frequencies;

  int q_width() const {
    return options.heads * options.shape.dim +
           options.index_heads * options.shape.index_dim;
  }
  int in_width() const {
    return options.first + options.shape.token_width() + options.index_heads;
  }
};

using CompressedAttentionPtr = std::shared_ptr<const CompressedAttention>;

// As AttentionRows: `lists` has room for the rows already.
struct CompressedRows {
  CompressedLists* lists = nullptr;
  int first_row = 0;
  int rows = 0;
};

// q [T, q_width]: heads, then heads of the index; in [T, in_width]: from column
// `first` on a token's row, then the weights of the index's heads
// -> [T, heads dim]. Advances the lists when the graph is built; the pages are
// only valid after the result was evaluated. Throws std::invalid_argument where
// shapes do not fit.
mx::array compressed_attention(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttentionPtr& layer,
    std::span<const CompressedRows> batch);

mx::array compressed_attention_reference(
    const mx::array& q,
    const mx::array& in,
    const CompressedAttention& layer,
    std::span<const CompressedRows> batch);

}  // namespace rapid
