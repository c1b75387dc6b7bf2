// How often a guess of each kind turns out right, learned from what the model
// said; of a row on top of all rows. Older guesses fade.
#pragma once

#include <array>

#include "speculation/proposer.h"

namespace rapid {

class Acceptance {
 public:
  // What is known before anything was seen: rising with the kind.
  Acceptance();
  // Of one row, which begins with what is known of `all` (which outlives it).
  explicit Acceptance(Acceptance* all) : all_(all) {}

  double chance(int kind) const;
  void learn(int kind, bool right);

 private:
  struct Seen {
    double right = 0;
    double all = 0;
  };
  Acceptance* all_ = nullptr;
  std::array<Seen, kDraftKinds> seen_;
};

}  // namespace rapid
