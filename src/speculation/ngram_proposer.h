// What stood behind the same tokens before, in the prompt or in the answer:
// files that are written again, calls that resemble each other, tables.
//
// The places with the same last kLeast tokens form a chain, newest first; the
// first kTries of them are compared backwards, the longest match wins, of equal
// ones the newest. A guess may run into itself, so what repeats goes on
// repeating. Its kind says how many tokens matched, those of the guess that
// were taken before it included.
//
// O(1) a token, 16 bytes of memory each: no more than the context.
#pragma once

#include "speculation/proposer.h"

namespace rapid {

class NgramProposer final : public Proposer {
 public:
  static constexpr int kLeast = 3;
  static constexpr int kTries = 16;
  static constexpr int kLongest = 64;  // no longer match is told from it

  // `known`: text that the answer is likely to repeat, before all others.
  explicit NgramProposer(std::span<const int32_t> known = {});

  Draft propose(
      std::span<const int32_t> tokens,
      int most,
      const DraftTerms& = {}) override;

  // 0 for a match of kLeast, then with its length.
  static uint8_t kind(int matched);

 private:
  void take(std::span<const int32_t> tokens);
  void grow();
  size_t slot(size_t end) const;
  void index(size_t place);
  int matched(size_t place) const;

  std::vector<int32_t> tokens_;  // known_, then the row
  size_t known_ = 0;
  std::vector<int32_t> heads_;    // by slot: the newest place; -1 = none
  std::vector<int32_t> earlier_;  // by place: the one before in its chain
};

}  // namespace rapid
