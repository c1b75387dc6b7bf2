// A scripted Engine for tests of everything above engine.h. It has a thread
// of its own, keeps FIFO order and honours cancel(), like the real one.
//
//   auto engine = std::make_shared<FakeEngine>();
//   engine->script = [](const GenerateRequest&) {
//     return FakeScript{.choices = {fake_ids("Hello")}};
//   };
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace rapid {

// One token per byte, as FakeCodec (fake_text.h) reads them.
inline std::vector<int32_t> fake_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) {
    ids.push_back(static_cast<unsigned char>(c));
  }
  return ids;
}

struct FakeScript {
  // Tokens of each choice; the last entry serves the choices behind it.
  // When they end before max_tokens the choice ends at an end token.
  std::vector<std::vector<int32_t>> choices;
  int cached = 0;
  std::optional<Error> fail;  // instead of the rest...
  int fail_after = 0;         // ...after this many token rounds
  std::chrono::microseconds token_delay{0};
};

class FakeEngine : public Engine {
 public:
  FakeEngine() {
    info_.architecture = "fake";
    info_.device = "cpu";
    info_.threads = 1;
    info_.vocabulary = 260;
    info_.context_length = 4096;
    info_.layers = 1;
    thread_ = std::thread([this] { run(); });
  }
  ~FakeEngine() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  // Set before the first submit(): what to answer.
  std::function<FakeScript(const GenerateRequest&)> script =
      [](const GenerateRequest&) {
        return FakeScript{.choices = {fake_ids("ok")}};
      };
  // Set before the first submit(): called before every round of tokens, for
  // tests that must hold the engine still.
  std::function<void()> before_round = [] {};

  EngineInfo& mutable_info() { return info_; }
  const EngineInfo& info() const override { return info_; }

  RequestId submit(GenerateRequest request, EngineSink sink) override {
    std::lock_guard lock(mutex_);
    const RequestId id = ++last_id_;
    waiting_.push_back({id, std::move(request), std::move(sink)});
    wake_.notify_all();
    return id;
  }

  void cancel(RequestId id, int choice = -1) override {
    std::lock_guard lock(mutex_);
    cancelled_.insert({id, choice});
  }

  EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats stats = stats_;
    stats.waiting = static_cast<int>(waiting_.size());
    return stats;
  }

  // Every request seen, in order.
  std::vector<GenerateRequest> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }

  // Until nothing waits or runs: `script` may be set again then.
  void wait_idle() const {
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
      std::lock_guard lock(mutex_);
      if (waiting_.empty() && stats_.running == 0) {
        return;
      }
    }
  }

  bool was_cancelled(RequestId id, int choice = -1) const {
    std::lock_guard lock(mutex_);
    return is_cancelled(id, choice);
  }

 private:
  struct Job {
    RequestId id;
    GenerateRequest request;
    EngineSink sink;
  };

  bool is_cancelled(RequestId id, int choice) const {
    return stop_ || cancelled_.count({id, -1}) != 0 ||
           cancelled_.count({id, choice}) != 0;
  }

  void run() {
    while (true) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
        if (waiting_.empty()) {
          return;
        }
        job = std::move(waiting_.front());
        waiting_.pop_front();
        requests_.push_back(job.request);
        stats_.running = 1;
        stats_.prompt_tokens += job.request.prompt.size();
      }
      answer(job);
      std::lock_guard lock(mutex_);
      stats_.running = 0;
    }
  }

  void answer(const Job& job) {
    {
      std::unique_lock lock(mutex_);
      if (stop_) {
        lock.unlock();
        job.sink(EngineFailed{{ErrorCode::cancelled, "the engine stops"}});
        return;
      }
    }
    const FakeScript play = script(job.request);
    const int length = static_cast<int>(job.request.prompt.size());
    job.sink(EngineProgress{length, length, play.cached});
    EnginePrefilled prefilled{play.cached, 0.001, {}};
    if (job.request.prompt_logprobs) {
      prefilled.logprobs.push_back({std::nullopt, {}});
      for (int i = 1; i < length; ++i) {
        prefilled.logprobs.push_back(
            scored(job.request.prompt[i], *job.request.prompt_logprobs));
      }
    }
    if (job.request.embedding) {
      prefilled.embedding = {0.6f, 0.8f};
    }
    job.sink(prefilled);
    rounds(job, play);
  }

  static EngineLogprob scored(int32_t token, int top) {
    EngineLogprob out{-0.5f, {}};
    for (int i = 0; i < top; ++i) {
      out.top.push_back({token + i, -0.5f - static_cast<float>(i)});
    }
    return out;
  }

  void rounds(const Job& job, const FakeScript& play) {
    const int choices = job.request.choices;
    std::vector<bool> open(choices, true);
    int left = choices;
    int generated = 0;
    const auto end = [&](int c, EngineChoiceEnd::Reason why, int32_t token) {
      open[c] = false;
      --left;
      job.sink(EngineChoiceEnd{c, why, token});
    };
    for (int round = 0; left > 0; ++round) {
      before_round();
      if (play.fail && round == play.fail_after) {
        job.sink(EngineFailed{*play.fail});
        return;
      }
      for (int c = 0; c < choices; ++c) {
        if (!open[c]) {
          continue;
        }
        bool gone = false;
        {
          std::lock_guard lock(mutex_);
          gone = is_cancelled(job.id, c);
        }
        const auto& tokens =
            play.choices.at(std::min<size_t>(c, play.choices.size() - 1));
        if (gone) {
          end(c, EngineChoiceEnd::Reason::cancelled, -1);
        } else if (round >= job.request.max_tokens) {
          end(c, EngineChoiceEnd::Reason::length, -1);
        } else if (round >= static_cast<int>(tokens.size())) {
          ++generated;
          const auto& ends = job.request.end_tokens;
          end(c,
              EngineChoiceEnd::Reason::end_token,
              ends.empty() ? -1 : ends.front());
        } else {
          ++generated;
          EngineToken token{c, tokens[round], std::nullopt};
          if (job.request.logprobs) {
            token.logprob = scored(tokens[round], *job.request.logprobs);
          }
          job.sink(token);
        }
      }
      std::this_thread::sleep_for(play.token_delay);
    }
    job.sink(EngineDone{0.001, 0.002, generated});
  }

  EngineInfo info_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  RequestId last_id_ = 0;
  std::deque<Job> waiting_;
  std::set<std::pair<RequestId, int>> cancelled_;
  std::vector<GenerateRequest> requests_;
  EngineStats stats_;
  std::thread thread_;
};

}  // namespace rapid
