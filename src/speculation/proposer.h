// Proposer: guesses how a row of tokens goes on. Whatever it says, the answer
// stays what it is: a guess is only looked at next to the token that the model
// gave itself (docs/decisions/0045-drafts-are-compared.md). Good guesses save
// steps, bad ones cost time.
//
// One proposer belongs to one row; one thread at a time. Of what was accepted
// it hears by the tokens of the next call.
//
//   Draft draft = proposer->propose(tokens, 16, terms);
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rapid {

// What kinds of guesses there are: how sure its proposer is of one. What a
// kind is worth is learned (acceptance.h).
inline constexpr int kDraftKinds = 16;

// Of what can hardly be otherwise.
inline constexpr uint8_t kSureKind = kDraftKinds - 1;

struct Draft {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> kinds;  // of each token; under kDraftKinds
};

// What guesses may cost, for proposers that have to think.
struct DraftTerms {
  double plain_seconds = 0;  // a step without guesses
  double guess_seconds = 0;  // more, for each guess
  double budget = 0;         // seconds to think; 0 = don't
};

class Proposer {
 public:
  virtual ~Proposer() = default;

  // `tokens`: all of the row, prompt and answer; those of the call before and
  // what came since. At most `most` tokens; none = no idea.
  virtual Draft propose(
      std::span<const int32_t> tokens, int most, const DraftTerms& terms) = 0;
  // Seconds that the last call thought.
  virtual double spent() const { return 0; }
};

}  // namespace rapid
