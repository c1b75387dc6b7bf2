// The state of a layer that folds its tokens into arrays of a fixed size:
// gated delta rule, Mamba2, short convolution.
//
// Invariants: the arrays at any token are what the rule makes of the rows of
// all tokens before it, one token after another, whatever the chunks were
// (law 3). Only arrays that nobody else holds are written in place, so
// snapshots and forks share them.
//
// Rewinding: the tape keeps the rows of the last steps and the arrays before
// them, and trim() runs the rule again from there: exact, as it is the same
// arithmetic in the same order. It reaches `tape_tokens` tokens back at least,
// but not into a step of more tokens than that (a chunk of a prompt): chunks
// end where a rewind is wanted. A snapshot keeps no tape.
//
//   auto next = rule->advance(state.arrays(), rows);
//   state.append(count, rows, next);
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "state/layer_state.h"

namespace rapid {

using Arrays = std::vector<mx::array>;

// What one layer does with the rows of new tokens. Pure; builds a graph only.
class RecurrentRule {
 public:
  virtual ~RecurrentRule() = default;
  // Name and geometry: states of another one don't fit.
  virtual std::string name() const = 0;
  // The arrays before the first token, evaluated or constant.
  virtual Arrays start() const = 0;
  // The arrays behind the tokens of `rows`, each of which is [T, ...]. Row by
  // row: advance(advance(s, a), b) is bitwise advance(s, a then b).
  virtual Arrays advance(const Arrays& arrays, const Arrays& rows) const = 0;
};

class Recurrent final : public LayerState {
 public:
  explicit Recurrent(
      std::shared_ptr<const RecurrentRule> rule, int tape_tokens = 16);

  int length() const override { return length_; }
  size_t bytes() const override;  // the tape included
  [[nodiscard]] bool trim(int n) override;
  void keep_way_back(int tokens) override;
  std::shared_ptr<const StateSnapshot> snapshot() const override;
  void restore(const StateSnapshot& snapshot) override;
  std::unique_ptr<SnapshotBuilder> builder() const override;
  std::unique_ptr<LayerState> fork() const override;
  void collect(std::vector<mx::array>& out) const override;

  const Arrays& arrays() const { return arrays_; }
  // The forward of `count` more tokens took `rows` and led to `next`.
  void append(int count, Arrays rows, Arrays next);

 private:
  struct Step {
    int first = 0;  // tokens before it
    Arrays before;  // the arrays there
    Arrays rows;
    int count = 0;
  };

  std::shared_ptr<const RecurrentRule> rule_;
  int least_tape_ = 0;   // that it was made with
  int tape_tokens_ = 0;  // now
  int length_ = 0;
  Arrays arrays_;
  // Neighbouring steps; only those that start a rewind keep their arrays.
  std::deque<Step> tape_;
};

}  // namespace rapid
