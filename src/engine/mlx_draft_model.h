// A smaller model of the same vocabulary that guesses for the one that answers.
//
// It reads no more than the last kRead tokens of a row, and begins again there
// when it holds kMostHeld: its memory and its time are bounded, whatever the
// prompt. Guesses are its likeliest tokens, one forward pass each; it stops
// where the next is not worth its time (DraftTerms), by what it was right at
// before. Where the other proposer has a longer match, that one speaks.
//
// Only the engine thread. Its speed is measured when it is loaded, and on.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "engine/mlx_sequence.h"
#include "models/model.h"
#include "speculation/drafter.h"

namespace rapid {

class DraftModel {
 public:
  static constexpr int kRead = 256;
  static constexpr int kMostHeld = 1024;

  // Runs a few steps. `vocabulary`: of the model that answers.
  // `most_rows`: that it holds states of; others get no guesses from it.
  DraftModel(
      std::unique_ptr<Model> model,
      const StateOptions& states,
      int vocabulary,
      int most_rows);

  // Guesses of one row; `first` is asked before. Outlived by this.
  std::unique_ptr<Proposer> proposer(std::unique_ptr<Proposer> first);

  const Model& model() const { return *model_; }
  // Of all states, at most.
  uint64_t bytes() const {
    return row_bytes_ * static_cast<uint64_t>(most_rows_);
  }

 private:
  class Row;

  // The row's likeliest next token and its probability.
  struct Guess {
    int32_t token = 0;
    float probability = 0;
  };
  Sequence begin() const;
  Guess forward(Sequence& row, std::span<const int32_t> tokens);

  std::unique_ptr<Model> model_;
  StateOptions states_;
  int vocabulary_;
  int most_rows_;
  int rows_ = 0;  // that hold states
  uint64_t row_bytes_ = 0;
  double token_seconds_ = 0;  // of a step of one token
  double read_seconds_ = 0;   // of a token among many
};

// Null status: ids mean the same to both.
Status same_vocabulary(
    const std::string& draft_path, const std::string& model_path);

}  // namespace rapid
