// An Engine whose tokens are a hash of all tokens before them, with its own
// thread, for tests of who stands between it and its user. Tokens of the prompt
// make it misbehave, see Trouble.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"

namespace rapid::test {

struct Trouble {
  static constexpr int32_t kDiesAtOnce = 666;
  static constexpr int32_t kDiesOnceAtFive = 667;  // tokens of its answer
  static constexpr int32_t kDiesAtFive = 668;
  static constexpr int32_t kHangsOnceAtFive = 669;
};

inline uint64_t hash_of(const std::vector<int32_t>& tokens, uint64_t hash) {
  for (const int32_t token : tokens) {
    hash = (hash ^ static_cast<uint64_t>(token)) * 1099511628211u;
  }
  return hash * 6364136223846793005u + 1442695040888963407u;
}

// All events of a request. A "grammar" alternates odd and even tokens and ends
// the choice behind 24 of them.
inline std::vector<EngineEvent> hash_answer(const GenerateRequest& request) {
  constexpr int kGrammarTokens = 24;
  const Resumption resume = request.resume.value_or(Resumption{});
  const int length = static_cast<int>(request.prompt.size());
  std::vector<EngineEvent> out;
  for (int done = std::min(4, length); done <= length; done += 4) {
    out.push_back(EngineProgress{done, length, 0});
  }
  EnginePrefilled prefilled{0, 0.5, {}, {}};
  for (int i = 0; request.prompt_logprobs && i < length; ++i) {
    prefilled.logprobs.push_back({static_cast<float>(request.prompt[i]), {}});
  }
  out.push_back(prefilled);
  std::vector<std::vector<int32_t>> texts(request.choices, request.prompt);
  std::vector<bool> open(request.choices, true);
  int generated = 0;
  for (int round = 0, left = request.choices; left > 0; ++round) {
    for (int c = 0; c < request.choices; ++c) {
      if (!open[c]) {
        continue;
      }
      const auto end = [&](EngineChoiceEnd::Reason reason, int32_t token) {
        out.push_back(EngineChoiceEnd{c, reason, token});
        open[c] = false;
        --left;
      };
      const int in_grammar = resume.grammar_replay + round;
      if (request.grammar && in_grammar >= kGrammarTokens) {
        end(EngineChoiceEnd::Reason::end_token, -1);
        continue;
      }
      if (round >= request.max_tokens) {
        end(EngineChoiceEnd::Reason::length, -1);
        continue;
      }
      const int choice = request.resume ? resume.choice : c;
      const uint64_t hash =
          hash_of(texts[c], request.sampling.seed * 31 + choice);
      auto token = static_cast<int32_t>((hash >> 33) % 500);
      ++generated;
      if (request.grammar) {
        token = token / 2 * 2 + in_grammar % 2;
      } else if (token < 5) {
        end(EngineChoiceEnd::Reason::end_token, token);
        continue;
      }
      EngineToken event{c, token, {}};
      if (request.logprobs) {
        event.logprob = EngineLogprob{static_cast<float>(hash % 97), {}};
      }
      out.push_back(event);
      texts[c].push_back(token);
    }
  }
  out.push_back(EngineDone{0.5, 1, generated});
  return out;
}

class HashEngine final : public Engine {
 public:
  explicit HashEngine(std::chrono::microseconds delay, MemoryFacts memory = {})
      : delay_(delay) {
    info_.memory = std::move(memory);
    info_.architecture = "hash";
    info_.vocabulary = 1000;
    info_.context_length = 4096;
    thread_ = std::thread([this] { run(); });
  }
  ~HashEngine() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    thread_.join();
    for (auto& [id, job] : jobs_) {
      job.sink(EngineFailed{{ErrorCode::cancelled, "the engine stops"}});
    }
  }
  const EngineInfo& info() const override { return info_; }

  RequestId submit(GenerateRequest request, EngineSink sink) override {
    std::lock_guard lock(mutex_);
    Job job;
    job.events = hash_answer(request);
    job.request = std::move(request);
    job.sink = std::move(sink);
    jobs_.emplace(++last_id_, std::move(job));
    last_progress_ = now_seconds();
    return last_id_;
  }

  void cancel(RequestId id, int choice) override {
    std::lock_guard lock(mutex_);
    if (const auto found = jobs_.find(id); found != jobs_.end()) {
      found->second.cancels.push_back(choice);
    }
  }

  EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats out = stats_;
    out.running = static_cast<int>(jobs_.size());
    out.last_progress_seconds = now_seconds() - last_progress_;
    return out;
  }

 private:
  struct Job {
    GenerateRequest request;
    EngineSink sink;
    std::vector<EngineEvent> events;
    size_t next = 0;
    int tokens = 0;
    std::vector<int> cancels;
  };

  static bool asks_for(const Job& job, int32_t trouble) {
    const auto& prompt = job.request.prompt;
    return std::find(prompt.begin(), prompt.end(), trouble) != prompt.end();
  }

  void misbehave(const Job& job) const {
    const int answered = job.request.resume.value_or(Resumption{}).answered;
    const bool at_five = answered + job.tokens == 5;
    const bool once = at_five && answered < 5;
    if (asks_for(job, Trouble::kDiesAtOnce) ||
        (at_five && asks_for(job, Trouble::kDiesAtFive)) ||
        (once && asks_for(job, Trouble::kDiesOnceAtFive))) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ::_exit(7);
    }
    while (once && asks_for(job, Trouble::kHangsOnceAtFive)) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }

  static int choice_of(const EngineEvent& event) {
    if (const auto* token = std::get_if<EngineToken>(&event)) {
      return token->choice;
    }
    const auto* end = std::get_if<EngineChoiceEnd>(&event);
    return end != nullptr ? end->choice : -1;
  }

  static void honour_cancels(Job& job) {
    for (const int cancelled : std::exchange(job.cancels, {})) {
      for (int c = 0; c < job.request.choices; ++c) {
        const auto rest = job.events.begin() + static_cast<int64_t>(job.next);
        const auto of_choice = [c](const EngineEvent& event) {
          return choice_of(event) == c;
        };
        const bool open = std::any_of(rest, job.events.end(), of_choice);
        if ((cancelled >= 0 && cancelled != c) || !open) {
          continue;
        }
        job.events.erase(
            std::remove_if(rest, job.events.end(), of_choice),
            job.events.end());
        job.events.insert(
            job.events.end() - 1,
            EngineChoiceEnd{c, EngineChoiceEnd::Reason::cancelled, -1});
      }
    }
  }

  // One event of every request in turn.
  void run() {
    while (true) {
      std::this_thread::sleep_for(delay_);
      std::unique_lock lock(mutex_);
      if (stop_) {
        return;
      }
      for (auto it = jobs_.begin(); it != jobs_.end();) {
        Job& job = it->second;
        honour_cancels(job);
        lock.unlock();
        misbehave(job);
        lock.lock();
        const EngineEvent event = job.events[job.next++];
        const bool token = std::holds_alternative<EngineToken>(event);
        job.tokens += token ? 1 : 0;
        stats_.generated_tokens += token ? 1 : 0;
        last_progress_ = now_seconds();
        const bool last = job.next == job.events.size();
        const EngineSink sink = job.sink;
        it = last ? jobs_.erase(it) : std::next(it);
        lock.unlock();
        sink(event);
        lock.lock();
      }
    }
  }

  EngineInfo info_;
  const std::chrono::microseconds delay_;
  mutable std::mutex mutex_;
  bool stop_ = false;
  RequestId last_id_ = 0;
  std::map<RequestId, Job> jobs_;
  EngineStats stats_;
  double last_progress_ = now_seconds();
  std::thread thread_;
};

}  // namespace rapid::test
