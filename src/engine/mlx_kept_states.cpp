#include "engine/mlx_kept_states.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/log.h"

namespace rapid {
namespace {

// Shorter ones are computed about as fast as they are read.
constexpr int kWorthReading = 64;
constexpr size_t kWorthSaving = 128;
constexpr int kDamagedReads = 4;
constexpr int kFirstAnswer = 64;

// Who shares the beginning of a prompt is taken for one agent.
std::string lane_of(std::span<const int32_t> tokens) {
  constexpr size_t kTokens = 256;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const int32_t token : tokens.first(std::min(tokens.size(), kTokens))) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x100000001b3;
  }
  return fmt::format("{:016x}", hash);
}

// Prompt logprobs need the logits of every position: nothing kept helps.
bool reads_cache(const GenerateRequest& request) {
  return request.use_cache && !request.prompt_logprobs;
}

}  // namespace

KeptStates::KeptStates(
    StateCost cost,
    uint64_t budget,
    uint64_t most_kept,
    std::unique_ptr<DiskTier> disk)
    : cost_(std::move(cost)),
      budget_(budget),
      trie_({.byte_cap = most_kept}),
      disk_(std::move(disk)) {}

// The prompt is shared by all choices; each has its own answer.
uint64_t KeptStates::need(
    const GenerateRequest& request, int64_t answer) const {
  const auto length = static_cast<int64_t>(request.prompt.size());
  const uint64_t one = cost_.bytes(length + answer);
  return one + (request.choices - 1) * (one - cost_.bytes(length));
}

Result<JobLimits> KeptStates::limits(
    const GenerateRequest& request, int context) const {
  const int64_t length = static_cast<int64_t>(request.prompt.size());
  JobLimits out;
  out.context = context;
  out.max_tokens =
      static_cast<int>(std::min<int64_t>(request.max_tokens, context - length));
  if (budget_ == 0) {
    return out;
  }
  const auto fits = [&](int64_t n) { return need(request, n) <= budget_; };
  if (fits(out.max_tokens)) {
    return out;
  }
  if (!request.may_shorten || !fits(1)) {
    constexpr double kMiB = 1 << 20;
    return Error{
        ErrorCode::too_large,
        fmt::format(
            "the request needs {:.0f} MiB for {} tokens of prompt and {} x {} "
            "of answer, {:.0f} MiB are there",
            need(request, out.max_tokens) / kMiB,
            length,
            request.choices,
            out.max_tokens,
            budget_ / kMiB),
        "send a shorter prompt, or a smaller max_tokens"};
  }
  int low = 1;  // fits
  int high = out.max_tokens;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  out.max_tokens = low;
  return out;
}

Sequence KeptStates::take_up(
    const Model& model,
    const StateOptions& options,
    const GenerateRequest& request,
    const JobLimits& limits) {
  // An answer seldom gets as long as it may: room for the rest is made when
  // it comes (make_room), so that kept prompts don't go for nothing.
  make_room(need(request, std::min(limits.max_tokens, kFirstAnswer)));
  const auto prompt = std::span(request.prompt);
  TrieMatch found;
  if (reads_cache(request)) {
    // The last token is always evaluated: its row is wanted.
    found = trie_.find(prompt, prompt.size() - 1);
    TrieMatch more = from_disk(model, options, prompt, found.length);
    if (more.length > 0) {
      found = std::move(more);
      const auto tokens = prompt.first(static_cast<size_t>(found.length));
      trie_.insert(tokens, found.states, lane_of(tokens));
    }
  }
  return Sequence::take_up(model, options, prompt, found);
}

// A state of clearly more than the `known` tokens; else of none.
TrieMatch KeptStates::from_disk(
    const Model& model,
    const StateOptions& options,
    std::span<const int32_t> prompt,
    int known) {
  TrieMatch out;
  // A damaged one is dropped by its load; there may be another.
  for (int attempt = 0; disk_ && attempt < kDamagedReads; ++attempt) {
    const auto place = disk_->find(prompt, prompt.size() - 1);
    if (place.length < known + kWorthReading) {
      return out;
    }
    DiskTier::Builders builders;
    for (const auto& state : model.make_states(options)) {
      builders.push_back(state->builder());
      if (!builders.back()) {
        return out;
      }
    }
    auto states = disk_->load(prompt, place, std::move(builders));
    if (states) {
      out.length = place.length;
      out.states = *std::move(states);
      return out;
    }
    spdlog::warn("kept states are damaged: {}", states.error().what);
  }
  return out;
}

void KeptStates::make_room(uint64_t bytes) {
  if (budget_ > 0) {
    trie_.shrink_to(budget_ - std::min(bytes, budget_));
  }
}

void KeptStates::reap() {
  if (disk_) {
    disk_->reap();
  }
}

void KeptStates::remember(
    const GenerateRequest& request, const Sequence& sequence) {
  if (reads_cache(request) && !sequence.tokens.empty()) {
    const SnapshotSet states = sequence.snapshots();
    trie_.insert(sequence.tokens, states, lane_of(sequence.tokens));
    if (disk_ && sequence.tokens.size() >= kWorthSaving) {
      disk_->save(sequence.tokens, states);
    }
  }
  reap();
}

}  // namespace rapid
