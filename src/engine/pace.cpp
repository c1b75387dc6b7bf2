#include "engine/pace.h"

#include <algorithm>

namespace rapid {
namespace {

// A step's length. Beside a stream it is felt as a stall, of which less than
// 150 ms is asked; a chunk that turns out slower than the last needs the rest.
constexpr double kAloneSeconds = 0.7;
constexpr double kBesideSeconds = 0.1;
constexpr double kLeastSeconds = 0.03;
// Guesses, until a step was measured.
constexpr int kFirstAlone = 128;
constexpr int kFirstBeside = 32;
// Matrix kernels work in panels of rows: fewer cost as much.
constexpr int kUnit = 16;
constexpr int kMostGrowth = 4;  // one lucky step proves little
// Fewer tokens say nothing about a token's cost in a chunk.
constexpr int kTelling = 16;

}  // namespace

int Pace::chunk(bool beside) const {
  int wanted = beside ? kFirstBeside : kFirstAlone;
  if (token_seconds_ > 0) {
    const double seconds =
        beside ? std::max(kBesideSeconds - decode_seconds_, kLeastSeconds)
               : kAloneSeconds;
    wanted = static_cast<int>(std::min(seconds / token_seconds_, 1e6));
    wanted = std::min(wanted, std::max(last_, kFirstBeside) * kMostGrowth);
  }
  return std::clamp(
      wanted / kUnit * kUnit, std::min(kUnit, most_), std::max(most_, 1));
}

void Pace::measured(int prompt_tokens, int decode_rows, double seconds) {
  if (prompt_tokens == 0) {
    decode_seconds_ = decode_seconds_ == 0
                          ? seconds
                          : 0.75 * decode_seconds_ + 0.25 * seconds;
    return;
  }
  if (prompt_tokens >= std::min(kTelling, most_)) {
    const double rest = seconds - (decode_rows > 0 ? decode_seconds_ : 0);
    token_seconds_ = std::max(rest, 0.1 * seconds) / prompt_tokens;
    last_ = prompt_tokens;
  }
}

}  // namespace rapid
