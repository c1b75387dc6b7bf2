#include "engine/loop_guard.h"

#include <algorithm>

#include "cache/canonical_arguments.h"
#include "engine/history.h"

namespace rapid {
namespace {

constexpr int kFewestTokens = 128;
constexpr int kFewestRepeats = 4;
constexpr size_t kCallWindow = 12;
constexpr int kFewestCalls = 3;

struct AnsweredCall {
  std::string name;
  std::string arguments;  // keys sorted
  std::string result;

  bool operator==(const AnsweredCall&) const = default;
};

std::vector<AnsweredCall> answered_calls(
    const std::vector<chat::Message>& messages) {
  std::vector<AnsweredCall> out;
  const std::vector<chat::ToolCall>* calls = nullptr;
  for (const chat::Message& message : messages) {
    if (!message.tool_calls.empty()) {
      calls = &message.tool_calls;
    }
    if (message.role != "tool" || calls == nullptr) {
      continue;
    }
    const auto call =
        std::ranges::find(*calls, message.tool_call_id, &chat::ToolCall::id);
    if (call != calls->end()) {
      out.push_back(
          {call->name, canonical_arguments(call->arguments), message.content});
    }
  }
  return out;
}

}  // namespace

int loop_tokens(int period) {
  const int repeats = (kFewestTokens + period - 1) / period;
  return period * std::max(kFewestRepeats, repeats);
}

RepeatDetector::RepeatDetector() {
  for (size_t length = kFewestTokens;; length *= 2) {
    levels_.push_back({.length = length});
    if (length >= static_cast<size_t>(loop_tokens(kLongestPeriod))) {
      break;
    }
  }
}

void RepeatDetector::push(int32_t token) {
  tokens_.push_back(token);
  if (found_) {
    const size_t at = tokens_.size() - 1;
    const auto period = static_cast<size_t>(found_->period);
    lasts_ = lasts_ && token == tokens_[at - period];
    if (lasts_) {
      const size_t start = static_cast<size_t>(found_->start);
      found_->repeats = static_cast<int>((at + 1 - start) / period);
    }
    return;
  }
  const size_t at = tokens_.size() - 1;
  for (Level& level : levels_) {
    const size_t half = level.length / 2;
    if (at % half == 0) {
      Run& next = level.runs[at / half % 2];
      next.begin = at;
      next.size = 0;
    }
    for (Run& run : level.runs) {
      const bool begun = run.begin + run.size == at;
      if (begun) {
        advance(run);
      }
      if (found_) {
        levels_.clear();
        return;
      }
    }
  }
}

void RepeatDetector::advance(Run& run) {
  if (run.border.size() <= run.size) {
    run.border.resize(run.size + 1);
  }
  const int32_t* tokens = tokens_.data() + run.begin;
  const size_t at = run.size++;
  int32_t border = 0;
  if (at > 0) {
    border = run.border[at - 1];
    while (border > 0 && tokens[border] != tokens[at]) {
      border = run.border[border - 1];
    }
    border += tokens[border] == tokens[at] ? 1 : 0;
  }
  run.border[at] = border;
  const int size = static_cast<int>(run.size);
  const int period = size - border;
  if (period <= kLongestPeriod && size >= loop_tokens(period)) {
    report(run.begin, period);
  }
}

void RepeatDetector::report(size_t begin, int period) {
  const auto step = static_cast<size_t>(period);
  while (begin > 0 && tokens_[begin - 1] == tokens_[begin - 1 + step]) {
    --begin;
  }
  found_ = chat::TokenLoop{
      .period = period,
      .repeats = static_cast<int>((tokens_.size() - begin) / step),
      .start = static_cast<int>(begin)};
  lasts_ = true;
}

std::optional<chat::CallLoop> find_call_loop(
    std::span<const chat::Message> messages) {
  // A few dozen messages hold the last twelve calls; the rest is not read.
  constexpr size_t kMessages = 64;
  if (messages.size() > kMessages) {
    messages = messages.last(kMessages);
  }
  auto calls = answered_calls(
      canonical_history({messages.begin(), messages.end()}, true));
  if (calls.empty()) {
    return std::nullopt;
  }
  const size_t skipped = calls.size() - std::min(calls.size(), kCallWindow);
  const auto times = std::count(
      calls.begin() + static_cast<std::ptrdiff_t>(skipped),
      calls.end(),
      calls.back());
  if (times < kFewestCalls) {
    return std::nullopt;
  }
  return chat::CallLoop{
      calls.back().name, calls.back().arguments, static_cast<int>(times)};
}

}  // namespace rapid
