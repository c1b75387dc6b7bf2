#include "engine/mlx_kept_states.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/log.h"
#include "engine/lane_clock.h"

namespace rapid {
namespace {

// Shorter ones are computed about as fast as they are read.
constexpr int kWorthReading = 64;
constexpr size_t kWorthSaving = 128;
constexpr int kDamagedReads = 4;
constexpr size_t kWarmConversations = 8;

// Prompt logprobs need the logits of every position: nothing kept helps.
bool reads_cache(const GenerateRequest& request) {
  return request.use_cache && !request.prompt_logprobs && !request.embedding;
}

}  // namespace

KeptStates::KeptStates(
    StateCost cost,
    uint64_t budget,
    uint64_t most_kept,
    std::unique_ptr<DiskTier> disk)
    : cost_(std::move(cost)),
      budget_(budget),
      most_kept_(most_kept),
      trie_({.byte_cap = most_kept}),
      disk_(std::move(disk)),
      most_warm_(most_kept / 2) {
  if (disk_) {
    to_warm_ = disk_->recent(kWarmConversations);
    std::ranges::reverse(to_warm_);  // the latest at the end
  }
}

// The prompt is shared by all choices; each has its own answer.
uint64_t KeptStates::need(
    const GenerateRequest& request, int64_t answer) const {
  const auto length = static_cast<int64_t>(request.prompt.size());
  const uint64_t one = cost_.bytes(length + answer);
  return one + (request.choices - 1) *
                   (one - cost_.bytes(length) + cost_.fixed_bytes);
}

Result<JobLimits> KeptStates::limits(
    const GenerateRequest& request, int context) const {
  const int64_t length = static_cast<int64_t>(request.prompt.size());
  JobLimits out;
  out.context = context;
  out.forms = forms_;
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
        "ask for fewer choices, a shorter prompt or a smaller max_tokens"};
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

int KeptStates::take_up(
    const Model& model,
    const StateOptions& options,
    const GenerateRequest& request,
    const std::string& lane,
    Sequence& sequence) {
  StateOptions mine = options;
  mine.form = forms_.of(sequence.tokens.size());
  std::vector<int32_t> memory;
  const auto tokens =
      keys_.key(request.adapter, mine.form, sequence.tokens, memory);
  TrieMatch found;
  if (reads_cache(request)) {
    // The last token is always evaluated: its row is wanted.
    found = trie_.find(tokens, tokens.size() - 1);
    TrieMatch more =
        from_disk(model, mine, tokens, tokens.size() - 1, found.length);
    if (more.length > 0) {
      more.common = found.common;
      found = std::move(more);
      trie_.insert(
          tokens.first(static_cast<size_t>(found.length)), found.states, lane);
    }
  }
  sequence.take_up(model, mine, found);
  return std::max(found.common, found.length);
}

// One request's snapshots shall not drive out those of the others.
std::vector<SnapshotPlace> KeptStates::places(
    const GenerateRequest& request, int known, int common) const {
  if (!reads_cache(request)) {
    return {};
  }
  constexpr uint64_t kShare = 4;
  return plan_snapshots(
      cost_,
      {.length = static_cast<int>(request.prompt.size()),
       .known = known,
       .common = common,
       .borders = request.borders},
      most_kept_ / kShare);
}

int KeptStates::known(
    const GenerateRequest& request, std::span<const int32_t> prompt) {
  if (!reads_cache(request)) {
    return 0;
  }
  std::vector<int32_t> memory;
  const auto tokens =
      keys_.key(request.adapter, forms_.of(prompt.size()), prompt, memory);
  const int length = trie_.find(tokens, tokens.size() - 1).length;
  return disk_ ? std::max(length, disk_->find(tokens, tokens.size() - 1).length)
               : length;
}

// A state of clearly more than the `known` tokens; else of none.
TrieMatch KeptStates::from_disk(
    const Model& model,
    const StateOptions& options,
    std::span<const int32_t> tokens,
    size_t limit,
    int known) {
  TrieMatch out;
  // A damaged one is dropped by its load; there may be another.
  for (int attempt = 0; disk_ && attempt < kDamagedReads; ++attempt) {
    const auto place = disk_->find(tokens, limit);
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
    auto states = disk_->load(tokens, place, std::move(builders));
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

uint64_t KeptStates::next_to_warm() const {
  return to_warm_.empty()
             ? 0
             : cost_.bytes(static_cast<int64_t>(to_warm_.back().size()));
}

void KeptStates::warm(const Model& model, const StateOptions& options) {
  const uint64_t bytes = next_to_warm();
  if (bytes == 0) {
    return;
  }
  const auto tokens = std::move(to_warm_.back());
  to_warm_.pop_back();
  if (trie_.stats().bytes + bytes > most_warm_) {
    return;
  }
  const int known = trie_.find(tokens, tokens.size()).length;
  TrieMatch found = from_disk(model, options, tokens, tokens.size(), known);
  if (found.length > 0) {
    const auto prefix =
        std::span(tokens).first(static_cast<size_t>(found.length));
    trie_.insert(prefix, std::move(found.states), prompt_lane(prefix));
  }
}

void KeptStates::clear() {
  trie_.clear();
  if (!disk_) {
    return;
  }
  if (const Status done = disk_->clear(); !done) {
    spdlog::warn("prompts on disk are not cleared: {}", done.error().what);
  }
}

void KeptStates::reap() {
  if (disk_) {
    disk_->reap();
  }
}

void KeptStates::remember(
    const GenerateRequest& request,
    const std::string& lane,
    const Sequence& sequence,
    bool on_disk) {
  std::vector<int32_t> memory;
  const auto tokens =
      keys_.key(request.adapter, sequence.form, sequence.known(), memory);
  if (reads_cache(request) && !tokens.empty()) {
    const SnapshotSet states = sequence.snapshots();
    trie_.insert(tokens, states, lane);
    if (disk_ && on_disk && tokens.size() >= kWorthSaving) {
      disk_->save(tokens, states);
    }
  }
  reap();
}

}  // namespace rapid
