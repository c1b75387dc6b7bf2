// A toy model whose logits are a hash of all tokens its state holds, so that
// any slip between tokens and state changes what it says; and what collects
// a request's events.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/mlx_engine.h"

namespace rapid::test {

inline constexpr int kVocabulary = 512;
inline constexpr int kContext = 400;
inline constexpr int kHidden = 8;

struct ToyKnobs {
  std::atomic<int> forwards = 0;
  std::atomic<int> rows = 0;        // logits rows made, all together
  std::atomic<int> tokens = 0;      // consumed
  std::atomic<int> widest = 0;      // most sequences in a batch
  std::atomic<int> throw_at = -1;   // forwards until one throws
  std::atomic<int> throw_rows = 1;  // ... counting steps of at least so many
  std::atomic<int> poison = -1;     // a token that makes every forward throw
  std::atomic<int> delay_us = 0;
  std::atomic<bool> can_trim = true;
};

class ToySnapshot final : public StateSnapshot {
 public:
  ToySnapshot(std::vector<int32_t> tokens, bool rewinds)
      : tokens(std::move(tokens)), rewinds_(rewinds) {}
  int length() const override { return static_cast<int>(tokens.size()); }
  size_t bytes() const override { return tokens.size() * 1000; }
  int rewind_floor() const override { return rewinds_ ? 0 : length(); }
  std::shared_ptr<const StateSnapshot> trimmed(int length) const override {
    auto out = std::make_shared<ToySnapshot>(*this);
    out->tokens.resize(length);
    return out;
  }
  std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot&, int) const override {
    return nullptr;
  }
  void visit_pages(const PageVisitor& visit) const override {
    visit(this, bytes());
  }
  std::string kind() const override { return "toy"; }
  std::vector<StateUnit> units() const override { return {}; }

  std::vector<int32_t> tokens;

 private:
  bool rewinds_;
};

class ToyState final : public LayerState {
 public:
  explicit ToyState(ToyKnobs& knobs) : knobs_(knobs) {}
  int length() const override { return static_cast<int>(tokens.size()); }
  size_t bytes() const override { return tokens.size() * 1000; }
  bool trim(int n) override {
    if (!knobs_.can_trim || n > length()) {
      return false;
    }
    tokens.resize(tokens.size() - n);
    return true;
  }
  std::shared_ptr<const StateSnapshot> snapshot() const override {
    return std::make_shared<ToySnapshot>(tokens, knobs_.can_trim);
  }
  void restore(const StateSnapshot& snapshot) override {
    tokens = dynamic_cast<const ToySnapshot&>(snapshot).tokens;
  }
  std::unique_ptr<LayerState> fork() const override {
    return std::make_unique<ToyState>(*this);
  }
  void collect(std::vector<mx::array>&) const override {}

  std::vector<int32_t> tokens;

 private:
  ToyKnobs& knobs_;
};

class ToyModel final : public Model {
 public:
  explicit ToyModel(ToyKnobs& knobs) : knobs_(knobs) {
    info_.architecture = "toy";
    info_.vocabulary = kVocabulary;
    info_.context_length = kContext;
    info_.layers = 2;
    info_.hidden = kHidden;
  }
  const ModelInfo& info() const override { return info_; }
  SequenceState make_states(const StateOptions&) const override {
    SequenceState out;
    out.push_back(std::make_unique<ToyState>(knobs_));
    out.push_back(std::make_unique<ToyState>(knobs_));
    return out;
  }
  mx::array forward(std::span<const SequenceInput> batch) override {
    ++knobs_.forwards;
    if (static_cast<int>(batch.size()) >= knobs_.throw_rows &&
        knobs_.throw_at > 0 && --knobs_.throw_at == 0) {
      throw std::runtime_error("toy failure");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(knobs_.delay_us));
    std::vector<float> rows;
    knobs_.widest = std::max<int>(knobs_.widest, batch.size());
    for (const SequenceInput& input : batch) {
      knobs_.tokens += static_cast<int>(input.tokens.size());
      for (size_t i = 0; i < input.tokens.size(); ++i) {
        if (input.tokens[i] == knobs_.poison) {
          throw std::runtime_error("toy poison");
        }
        for (const auto& state : *input.states) {
          static_cast<ToyState&>(*state).tokens.push_back(input.tokens[i]);
        }
        const bool last = i + 1 == input.tokens.size();
        if (input.logits == SequenceInput::Logits::all ||
            (last && input.logits == SequenceInput::Logits::last)) {
          add_row(*input.states, rows);
        }
      }
    }
    const int count = static_cast<int>(rows.size()) / kVocabulary;
    knobs_.rows += count;
    return count == 0 ? mx::zeros({1, 4})
                      : mx::array(rows.begin(), {count, kVocabulary});
  }
  // The first columns of the logits.
  mx::array hidden(std::span<const SequenceInput> batch) override {
    const mx::array rows = forward(batch);
    return mx::slice(rows, {0, 0}, {rows.shape(0), kHidden});
  }

 private:
  static void add_row(const SequenceState& states, std::vector<float>& rows) {
    uint64_t hash = 1469598103934665603u;
    for (const auto& state : states) {
      for (const int32_t token : static_cast<ToyState&>(*state).tokens) {
        hash = (hash ^ static_cast<uint64_t>(token)) * 1099511628211u;
      }
    }
    for (int v = 0; v < kVocabulary; ++v) {
      hash = hash * 6364136223846793005u + 1442695040888963407u;
      rows.push_back(static_cast<float>(hash >> 40) * 0x1p-20f);
    }
  }

  ToyKnobs& knobs_;
  ModelInfo info_;
};

struct Outcome {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> logprobs;
  std::vector<EngineChoiceEnd> ends;
  std::optional<EnginePrefilled> prefilled;
  std::optional<EngineDone> done;
  std::optional<Error> error;
  int progress = 0;

  const std::vector<int32_t>& text() const { return tokens.at(0); }
  int cached() const { return prefilled ? prefilled->cached_tokens : -1; }
};

// Collects one request's events; wait() for its end.
class Collector {
 public:
  explicit Collector(int choices) {
    run_.tokens.resize(choices);
    run_.logprobs.resize(choices);
  }
  EngineSink sink() {
    return [this](const EngineEvent& event) {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(ended()) << "an event behind the end";
      if (auto* token = std::get_if<EngineToken>(&event)) {
        run_.tokens[token->choice].push_back(token->token);
        if (token->logprob) {
          run_.logprobs[token->choice].push_back(*token->logprob->logprob);
        }
      } else if (auto* end = std::get_if<EngineChoiceEnd>(&event)) {
        run_.ends.push_back(*end);
      } else if (auto* prefilled = std::get_if<EnginePrefilled>(&event)) {
        run_.prefilled = *prefilled;
      } else if (auto* done = std::get_if<EngineDone>(&event)) {
        run_.done = *done;
      } else if (auto* failed = std::get_if<EngineFailed>(&event)) {
        run_.error = failed->error;
      } else {
        ++run_.progress;
      }
      changed_.notify_all();
    };
  }
  Outcome wait() {
    return wait_until([](const Outcome&) { return false; });
  }
  template <typename Condition>
  Outcome wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      return ended() || condition(run_);
    }));
    return run_;
  }

 private:
  bool ended() const { return run_.done || run_.error; }
  std::mutex mutex_;
  std::condition_variable changed_;
  Outcome run_;
};

// All at once; what each got.
inline std::vector<Outcome> together(
    Engine& engine, const std::vector<GenerateRequest>& requests) {
  std::list<Collector> collectors;
  for (const GenerateRequest& request : requests) {
    engine.submit(request, collectors.emplace_back(request.choices).sink());
  }
  std::vector<Outcome> out;
  for (Collector& collector : collectors) {
    out.push_back(collector.wait());
  }
  return out;
}

}  // namespace rapid::test
