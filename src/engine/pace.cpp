#include "engine/pace.h"

#include <algorithm>

namespace rapid {
namespace {

// A step's length. Beside a stream it is felt as a stall, of which less than
// 150 ms is asked; a step that turns out slower than the last needs the rest.
constexpr double kAloneSeconds = 0.7;
constexpr double kBesideSeconds = 0.08;
constexpr double kLeastSeconds = 0.03;
// Guesses, until a step was measured.
constexpr int kFirstAlone = 128;
constexpr int kFirstBeside = 32;
constexpr int kMostGrowth = 4;  // one lucky step proves little
// Half of a panel that takes more of its time than that is no gain.
constexpr double kPays = 0.8;

}  // namespace

int Pace::chunk(bool beside) {
  int wanted = beside ? kFirstBeside : kFirstAlone;
  const int panel = kParts.back();
  if (token_seconds_ > 0) {
    const double seconds =
        beside ? std::max(kBesideSeconds - decode_seconds_, kLeastSeconds)
               : kAloneSeconds;
    wanted = static_cast<int>(std::min(seconds / token_seconds_, 1e6));
    wanted = std::min(wanted, std::max(last_, kFirstBeside) * kMostGrowth);
    wanted = wanted < panel ? part(seconds) : wanted;
  }
  const int whole = wanted < panel ? wanted : wanted / panel * panel;
  asked_ = std::clamp(whole, 1, std::max(most_, 1));
  return asked_;
}

// The longest part that takes no longer, as far as halves are worth it; one
// that is not known is tried.
int Pace::part(double seconds) const {
  size_t i = kParts.size() - 1;
  while (i > 0 && part_seconds_[i] > seconds &&
         part_seconds_[i - 1] < kPays * part_seconds_[i]) {
    --i;
  }
  return kParts[i];
}

void Pace::measured(int prompt_tokens, int decode_rows, double seconds) {
  if (prompt_tokens == 0) {
    decode_seconds_ = decode_seconds_ == 0
                          ? seconds
                          : 0.75 * decode_seconds_ + 0.25 * seconds;
    return;
  }
  // A prompt's short end says nothing about a token's cost in a chunk.
  if (prompt_tokens < std::min(asked_, kParts.back())) {
    return;
  }
  const double rest = seconds - (decode_rows > 0 ? decode_seconds_ : 0);
  const double mine = std::max(rest, 0.1 * seconds);
  token_seconds_ = mine / prompt_tokens;
  last_ = prompt_tokens;
  know_part(prompt_tokens, mine);
}

// What the other parts took may be long ago, so they grow as this one does;
// more tokens take longer than these, but not by more than they are more.
void Pace::know_part(int tokens, double seconds) {
  const auto found = std::ranges::find(kParts, tokens);
  if (found == kParts.end()) {
    return;
  }
  const auto own = static_cast<size_t>(found - kParts.begin());
  double& mine = part_seconds_[own];
  const double before = mine;
  mine = mine == 0 ? seconds : 0.5 * mine + 0.5 * seconds;
  for (size_t i = 0; i < kParts.size(); ++i) {
    const double share = mine * kParts[i] / tokens;
    double& known = part_seconds_[i];
    if (i != own && known > 0 && before > 0) {
      known *= mine / before;
    }
    if (i > own) {
      known = known == 0 ? share : std::clamp(known, mine, share);
    } else if (known > 0) {
      known = std::clamp(known, share, mine);
    }
  }
}

}  // namespace rapid
