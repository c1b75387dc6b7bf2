// What a step costs: of so many rows that decode, and with so many guesses
// beside them. Learned from steps that did nothing else; seconds.
//
// Both halves age on their own: rows at another depth or of another number
// make the plain step another, so who speculates must do a plain one now and
// then (`stale`).
#pragma once

#include <array>

namespace rapid {

class StepCost {
 public:
  static constexpr int kMostRows = 64;
  // Steps with guesses between two plain ones.
  static constexpr int kPlainEvery = 64;

  // No plain step of so many rows was measured lately.
  bool stale(int rows) const;
  // The rows are others than before: the next step is to be a plain one.
  void rows_changed();

  double plain(int rows) const;  // 0 = not known
  bool knows_guesses() const;
  // More than a plain step, with so many guesses.
  double extra(int rows, int guesses) const;

  void measured(int rows, int guesses, double seconds);

 private:
  double per_guess(int guesses) const;  // of a plain step of one row; 0

  std::array<double, kMostRows + 1> plain_{};
  std::array<double, 8> guess_{};  // seconds each, by bucket; 0 = not known
  bool changed_ = true;
  int since_plain_ = 0;
};

}  // namespace rapid
