// One row that decodes: its proposer, what its guesses were worth, and the
// time that they may still cost it.
//
//   drafter.draft(tokens, 16);   // before a step
//   drafter.keep(4);             // so many go along
//   drafter.follow(what_came);   // behind it, whatever went along
#pragma once

#include <memory>
#include <span>

#include "speculation/acceptance.h"
#include "speculation/proposer.h"

namespace rapid {

// Seconds that may be lost: a grant, a share of all time spent, and what was
// won before.
class LossAccount {
 public:
  // Of the time that plain decode would have taken.
  static constexpr double kShare = 0.01;

  double left() const { return left_; }
  void grant(double seconds) { left_ += seconds; }
  // A step took `seconds`; without guesses these tokens had taken `plain`.
  void charge(double seconds, double plain) {
    left_ += plain - seconds + kShare * plain;
  }

 private:
  double left_ = 0;
};

class Drafter {
 public:
  // `all` outlives it.
  Drafter(std::unique_ptr<Proposer> proposer, Acceptance* all)
      : proposer_(std::move(proposer)), acceptance_(all) {}

  // Guesses of one row in a step; fewer behind some that were all wrong.
  static constexpr int kMost = 24;

  // `sure`: how it must go on as far as anyone knows; else the proposer says.
  void draft(
      std::span<const int32_t> tokens,
      int most,
      const DraftTerms& terms = {},
      std::span<const int32_t> sure = {});
  double spent() const { return spent_; }  // thinking, of that
  int offered() const { return static_cast<int>(draft_.tokens.size()); }
  // That token `index` of the guess turns out right, if those before it do.
  double chance(int index) const;

  void keep(int count) { kept_ = count; }
  std::span<const int32_t> kept() const {
    return std::span(draft_.tokens).first(static_cast<size_t>(kept_));
  }
  // What the row went on with. The guess is over then, told or not.
  void follow(std::span<const int32_t> tokens);

  // Of the last step: tokens that came, and kept ones among them.
  int came() const { return came_; }
  int accepted() const { return accepted_; }

  // The speculator's:
  LossAccount account;
  bool met = false;
  bool granted = false;

 private:
  std::unique_ptr<Proposer> proposer_;
  Acceptance acceptance_;
  Draft draft_;
  int most_ = kMost;
  int kept_ = 0;
  int came_ = 0;
  double spent_ = 0;
  int accepted_ = 0;
};

}  // namespace rapid
