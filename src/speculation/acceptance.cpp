#include "speculation/acceptance.h"

#include <algorithm>

namespace rapid {
namespace {

// As much as so many guesses weighs what was known before.
constexpr double kPrior = 4;
// What was seen so long ago weighs a third: in a row, in all.
constexpr double kRowFade = 1 - 1.0 / 16;
constexpr double kFade = 1 - 1.0 / 64;

}  // namespace

Acceptance::Acceptance() {
  for (int kind = 0; kind < kDraftKinds; ++kind) {
    const double chance = std::min(0.3 + 0.09 * kind, 0.95);
    seen_[static_cast<size_t>(kind)] = {chance * kPrior, kPrior};
  }
}

double Acceptance::chance(int kind) const {
  const Seen& seen = seen_.at(static_cast<size_t>(kind));
  if (all_ == nullptr) {
    return seen.right / seen.all;
  }
  return (seen.right + kPrior * all_->chance(kind)) / (seen.all + kPrior);
}

void Acceptance::learn(int kind, bool right) {
  Seen& seen = seen_.at(static_cast<size_t>(kind));
  const double fade = all_ != nullptr ? kRowFade : kFade;
  seen.right = seen.right * fade + (right ? 1 : 0);
  seen.all = seen.all * fade + 1;
  if (all_ != nullptr) {
    all_->learn(kind, right);
  }
}

}  // namespace rapid
