#include "speculation/drafter.h"

#include <algorithm>

namespace rapid {

void Drafter::draft(
    std::span<const int32_t> tokens,
    int most,
    const DraftTerms& terms,
    std::span<const int32_t> sure) {
  most = std::max(std::min(most, most_), 0);
  spent_ = 0;
  kept_ = 0;
  if (sure.empty()) {
    draft_ = proposer_->propose(tokens, most, terms);
    spent_ = proposer_->spent();
    return;
  }
  const auto some = sure.first(std::min<size_t>(sure.size(), most));
  draft_.tokens.assign(some.begin(), some.end());
  draft_.kinds.assign(some.size(), kSureKind);
}

double Drafter::chance(int index) const {
  return acceptance_.chance(draft_.kinds.at(static_cast<size_t>(index)));
}

void Drafter::follow(std::span<const int32_t> tokens) {
  const size_t both = std::min(tokens.size(), draft_.tokens.size());
  size_t right = 0;
  while (right < both && tokens[right] == draft_.tokens[right]) {
    acceptance_.learn(draft_.kinds[right], true);
    ++right;
  }
  // Guesses that went nowhere teach as much.
  if (right < both) {
    acceptance_.learn(draft_.kinds[right], false);
  }
  accepted_ = std::min(static_cast<int>(right), kept_);
  if (kept_ > 0) {
    most_ = accepted_ == 0 ? std::max(kept_ / 4, 1)
                           : std::clamp(4 * accepted_, most_, kMost);
  }
  came_ = static_cast<int>(tokens.size());
  draft_ = {};
  kept_ = 0;
}

}  // namespace rapid
