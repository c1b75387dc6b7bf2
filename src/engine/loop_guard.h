// Loops of a model, noticed: a suffix that repeats within one answer, and the
// same call with the same result again and again across requests. Pure; one
// RepeatDetector belongs to one choice.
//
// What counts as a loop: `period` tokens repeated at least 4 times and over at
// least 128 tokens, so that tables, rulers and short lists of zeros are none
// (of 12,000 files of code and prose three have one: tables).
// Exact: every report is a true repetition, and a repetition of period p <=
// 4096 is reported at most 2 * loop_tokens(p) tokens after it began, as long
// as it lasts. Amortised O(1) a token (some 30 comparisons), memory 4 bytes a
// token and 300 KB once an answer is long.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chat/event.h"
#include "chat/message.h"

namespace rapid {

enum class LoopGuard {
  off,
  report,  // the response names the loop
  stop,    // and a loop of twice that length ends the choice
};

inline constexpr int kLongestPeriod = 4096;

// Tokens that a repetition of this period must cover.
int loop_tokens(int period);

class RepeatDetector {
 public:
  RepeatDetector();

  void push(int32_t token);

  // The loop found first, its repeats counted as long as it went on.
  const std::optional<chat::TokenLoop>& found() const { return found_; }

 private:
  // The failure function of Knuth, Morris and Pratt over the tokens from
  // `begin` on: their smallest period is their number less the last border.
  struct Run {
    size_t begin = 0;
    size_t size = 0;
    std::vector<int32_t> border;
  };
  // Two overlapping runs, each `length` tokens long, one begun every half.
  struct Level {
    size_t length = 0;
    Run runs[2];
  };

  void advance(Run& run);
  void report(size_t begin, int period);

  std::vector<int32_t> tokens_;
  std::vector<Level> levels_;
  std::optional<chat::TokenLoop> found_;
  bool lasts_ = false;
};

// The latest call of the history when it came with equal arguments and an
// equal result at least 3 times among the last 12 answered calls.
std::optional<chat::CallLoop> find_call_loop(
    std::span<const chat::Message> messages);

}  // namespace rapid
