#include "speculation/step_cost.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace rapid {
namespace {

constexpr double kNewest = 0.3;  // its weight
// Steps of a busy machine: no single one says that all is otherwise.
constexpr double kMostChange = 1.5;
// What guesses cost is measured rarely where it seemed high.
constexpr double kMostLess = 16;
// Before anything is known: a row beside another, of what one alone costs.
constexpr double kGuess = 0.25;

size_t bucket(int guesses) {
  const auto upper =
      static_cast<int>(std::bit_width(static_cast<unsigned>(guesses - 1)));
  return static_cast<size_t>(std::min(upper, 7));
}

void blend(double& value, double seen, double most_less) {
  const double near =
      value == 0 ? seen
                 : std::clamp(seen, value / most_less, value * kMostChange);
  value += value == 0 ? near : kNewest * (near - value);
}

}  // namespace

bool StepCost::stale(int rows) const {
  return rows > kMostRows || changed_ || since_plain_ >= kPlainEvery ||
         plain(rows) == 0;
}

void StepCost::rows_changed() {
  changed_ = true;
}

double StepCost::plain(int rows) const {
  return rows >= 0 && rows <= kMostRows ? plain_[static_cast<size_t>(rows)] : 0;
}

double StepCost::per_guess(int guesses) const {
  const auto wanted = static_cast<int>(bucket(guesses));
  const auto count = static_cast<int>(guess_.size());
  for (int away = 0; away < count; ++away) {
    for (const int at : {wanted + away, wanted - away}) {
      if (at >= 0 && at < count && guess_[static_cast<size_t>(at)] > 0) {
        return guess_[static_cast<size_t>(at)];
      }
    }
  }
  return 0;
}

bool StepCost::knows_guesses() const {
  return per_guess(1) > 0;
}

double StepCost::extra(int rows, int guesses) const {
  if (guesses <= 0) {
    return 0;
  }
  const double known = per_guess(guesses);
  const double one = plain(rows) / (1 + kGuess * (rows - 1));
  return guesses * (known > 0 ? known : kGuess * one);
}

void StepCost::measured(int rows, int guesses, double seconds) {
  if (rows <= 0 || rows > kMostRows || seconds <= 0) {
    return;
  }
  double& plain = plain_[static_cast<size_t>(rows)];
  if (guesses == 0) {
    // Of other rows: what it was says little.
    const bool first = plain == 0;
    if (changed_ && !first) {
      plain = std::clamp(seconds, plain / 4, plain * 4);
    } else {
      blend(plain, seconds, kMostChange);
    }
    changed_ = false;
    since_plain_ = 0;
    return;
  }
  ++since_plain_;
  if (plain > 0) {
    const double least = 0.01 * plain / guesses;
    blend(
        guess_[bucket(guesses)],
        std::max((seconds - plain) / guesses, least),
        kMostLess);
  }
}

}  // namespace rapid
