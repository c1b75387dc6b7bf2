// Speculator: how many guesses go along in a step. It never makes a stream
// slower than plain decode by more than 2 %: each row has an account of the
// time that guesses cost it (LossAccount), all rows together have one, and a
// step with guesses is taken only where every account can pay for it even if
// all guesses are wrong. What a step costs and what guesses are worth are
// measured all the time; with many rows, or where a step is bound by
// arithmetic, that leaves none.
//
//   const DraftTerms terms = speculator.begin(rows, alone);
//   ... Drafter::draft() of each ...
//   speculator.choose(rows);               // Drafter::keep() of each
//   ... the step; Drafter::follow() of each ...
//   speculator.measured(rows, seconds);
//
// One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "speculation/drafter.h"
#include "speculation/step_cost.h"

namespace rapid {

enum class Speculating {
  off,
  where_it_pays,
  always,  // all guesses go along, for tests: whatever they cost
};

struct SpeculationCounts {
  uint64_t drafted = 0;   // guesses that went along
  uint64_t accepted = 0;  // of those
};

class Speculator {
 public:
  // Of all rows in a step.
  static constexpr int kMostOfStep = 32;

  explicit Speculator(Speculating mode) : mode_(mode) {}

  // Rows that decode in the next step. `alone`: the step does nothing else;
  // beside a prompt a guess costs as much as a token of it, and none is made.
  // Returns what a guess of one of them may cost.
  DraftTerms begin(std::span<Drafter* const> rows, bool alone);
  // Their guesses are made.
  void choose(std::span<Drafter* const> rows);
  // The same rows behind that step.
  void measured(std::span<Drafter* const> rows, double seconds);

  Acceptance* acceptance() { return &acceptance_; }
  const SpeculationCounts& counts() const { return counts_; }

 private:
  struct Offer {
    double chance = 0;  // that all up to it are right
    size_t row = 0;
  };

  std::vector<Offer> offers(std::span<Drafter* const> rows) const;
  int best_count(std::span<const Offer> offers, int rows, double budget) const;
  double budget(std::span<Drafter* const> rows) const;
  int how_many(std::span<const Offer> offers, int rows, double budget);
  bool probe_due(std::span<const Offer> offers, int rows);
  void grant(std::span<Drafter* const> rows);

  Speculating mode_;
  Acceptance acceptance_;
  StepCost cost_;
  LossAccount account_;  // of the rows' seconds, all together
  bool granted_ = false;
  std::vector<Drafter*> rows_;  // of the last step
  int guesses_ = 0;             // in this one
  bool alone_ = false;
  bool may_guess_ = false;  // costs are known
  int passed_ = 0;          // steps without a guess that might have paid
  int patience_ = 0;
  SpeculationCounts counts_;
};

}  // namespace rapid
